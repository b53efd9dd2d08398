// SPDX-License-Identifier: Apache-2.0
//! BSON as bytes: documents are written element after element, and nothing is made beside the buffer.
//!
//! In: keys without NUL and values. Out: the bytes of one document. Nesting is a stack of positions, so depth costs no
//! recursion; the caller bounds it, and the size.

use mongodb::bson::spec::ElementType;

/// A document as it grows.
pub(super) struct BsonWriter {
    bytes: Vec<u8>,
    /// Where each open document or array begins.
    open: Vec<usize>,
}

impl BsonWriter {
    /// An empty document.
    pub(super) fn new() -> Self {
        let mut writer = Self {
            bytes: Vec::new(),
            open: Vec::new(),
        };
        writer.begin();
        writer
    }

    pub(super) fn text(&mut self, key: &str, text: &str) {
        self.key(ElementType::String, key);
        self.bytes
            .extend_from_slice(&(text.len() as i32 + 1).to_le_bytes());
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
    }

    pub(super) fn double(&mut self, key: &str, number: f64) {
        self.fixed(ElementType::Double, key, &number.to_le_bytes());
    }

    /// In 32 bits where that is enough, as Python's client has it.
    pub(super) fn integer(&mut self, key: &str, number: i64) {
        match i32::try_from(number) {
            Ok(number) => self.fixed(ElementType::Int32, key, &number.to_le_bytes()),
            Err(_) => self.fixed(ElementType::Int64, key, &number.to_le_bytes()),
        }
    }

    pub(super) fn boolean(&mut self, key: &str, value: bool) {
        self.fixed(ElementType::Boolean, key, &[u8::from(value)]);
    }

    pub(super) fn null(&mut self, key: &str) {
        self.key(ElementType::Null, key);
    }

    pub(super) fn object_id(&mut self, key: &str, id: [u8; 12]) {
        self.fixed(ElementType::ObjectId, key, &id);
    }

    pub(super) fn date(&mut self, key: &str, millis: i64) {
        self.fixed(ElementType::DateTime, key, &millis.to_le_bytes());
    }

    /// A finished document as the value of a member.
    pub(super) fn document(&mut self, key: &str, document: &[u8]) {
        self.fixed(ElementType::EmbeddedDocument, key, document);
    }

    /// Opens a document as the value of a member; [`end`](Self::end) closes it.
    pub(super) fn begin_document(&mut self, key: &str) {
        self.key(ElementType::EmbeddedDocument, key);
        self.begin();
    }

    /// Opens an array, whose keys are `0`, `1` and so on.
    pub(super) fn begin_array(&mut self, key: &str) {
        self.key(ElementType::Array, key);
        self.begin();
    }

    /// Closes the innermost open document or array.
    pub(super) fn end(&mut self) {
        let Some(begin) = self.open.pop() else { return };
        self.bytes.push(0);
        let length = (self.bytes.len() - begin) as i32;
        self.bytes[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// The bytes, once everything open is closed.
    pub(super) fn finish(mut self) -> Vec<u8> {
        while !self.open.is_empty() {
            self.end();
        }
        self.bytes
    }

    fn begin(&mut self) {
        self.open.push(self.bytes.len());
        self.bytes.extend_from_slice(&[0; 4]);
    }

    fn fixed(&mut self, kind: ElementType, key: &str, value: &[u8]) {
        self.key(kind, key);
        self.bytes.extend_from_slice(value);
    }

    fn key(&mut self, kind: ElementType, key: &str) {
        self.bytes.push(kind as u8);
        self.bytes.extend_from_slice(key.as_bytes());
        self.bytes.push(0);
    }
}
