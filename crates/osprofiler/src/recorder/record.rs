// SPDX-License-Identifier: Apache-2.0
//! The layout of a record: 64 bytes, no pointers, so that it can be read from another process.
//!
//! Bytes that do not fit follow in whole slots of 64: their number of bytes (`u32`), the name (`u16` and bytes) and the ids
//! (`u8` and bytes each) that the flags announce, and the info's bytes. If the chunk ends before they do, they go on at the
//! beginning of the thread's next chunk.

/// One start or stop.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Record {
    pub(super) ticks: u64,
    /// The entry of [`names`](super::names); 0 if the name follows as bytes.
    pub(super) name: u32,
    pub(super) origin: u16,
    /// How many slots of this chunk follow that belong to this record.
    pub(super) slots: u8,
    pub(super) flags: u8,
    pub(super) base_id: u128,
    pub(super) trace_id: u128,
    pub(super) parent_id: u128,
}

pub(super) const SLOT_BYTES: usize = 64;
const _: () = assert!(size_of::<Record>() == SLOT_BYTES);

/// The record is a stop.
pub(super) const STOP: u8 = 1;
/// The id follows as text.
pub(super) const BASE_TEXT: u8 = 1 << 1;
pub(super) const TRACE_TEXT: u8 = 1 << 2;
pub(super) const PARENT_TEXT: u8 = 1 << 3;
/// The name follows as text.
pub(super) const NAME_TEXT: u8 = 1 << 4;
/// The info's form: two bits.
pub(super) const FORM: u8 = 0b11 << 5;
/// No info.
pub(super) const FORM_NONE: u8 = 0;
/// The shape is the name's entry's; the bytes are the values of its holes.
pub(super) const FORM_SITE: u8 = 1 << 5;
/// The bytes are an entry's number and the values of its holes.
pub(super) const FORM_SHAPE: u8 = 2 << 5;
/// The bytes are a JSON object's text.
pub(super) const FORM_JSON: u8 = 3 << 5;
/// The bytes go on in the next chunks.
pub(super) const CONTINUED: u8 = 1 << 7;
