// SPDX-License-Identifier: Apache-2.0
//! Values of an info, as bytes: what the traced thread copies behind a record, to be written as JSON later, elsewhere.
//!
//! A value is a tag and its payload. Numbers and texts are copied as they are; only [`display`] and [`debug`] run code of the
//! program, and that never while a record is being written: the encoder goes on in memory of its own then. One info takes at
//! most 1 MiB; a text that does not fit is cut at a character, and says so.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use crate::Id;

use super::plain::{Plain, Room};
use super::thread;

/// The most bytes an info takes, its values' tags included.
pub(super) const MAX_INFO_BYTES: usize = 1 << 20;

pub(super) mod tag {
    pub(in super::super) const NULL: u8 = 0;
    pub(in super::super) const FALSE: u8 = 1;
    pub(in super::super) const TRUE: u8 = 2;
    /// 8 bytes.
    pub(in super::super) const SIGNED: u8 = 3;
    /// 8 bytes.
    pub(in super::super) const UNSIGNED: u8 = 4;
    /// 8 bytes.
    pub(in super::super) const FLOAT: u8 = 5;
    /// Length (`u32`) and UTF-8.
    pub(in super::super) const TEXT: u8 = 6;
    /// As `TEXT`, of a text that was longer.
    pub(in super::super) const CUT: u8 = 7;
    /// As `TEXT`: the digits of a number beyond 64 bits.
    pub(in super::super) const DIGITS: u8 = 8;
    /// Members follow, each a `TEXT` or `CUT` and a value.
    pub(in super::super) const OPEN: u8 = 9;
    pub(in super::super) const CLOSE: u8 = 10;
    /// Values follow.
    pub(in super::super) const LIST: u8 = 11;
    pub(in super::super) const END: u8 = 12;
}

/// Something an info can hold: numbers, `bool`, `char`, texts, ids, and lists, options and references of these; everything
/// else through [`display`], [`debug`] or [`members`].
///
/// Encoding costs a copy of the value's bytes. The trait is sealed: values are encoded into memory that the sweeper watches,
/// where no code of a program may run.
pub trait Value: sealed::Encode {}
impl<T: sealed::Encode + ?Sized> Value for T {}

/// The values of the holes of a shape, in order, as [`point!`](crate::point) collects them: `(&first, (&second, ()))`.
pub trait Values: sealed::EncodeAll {}
impl<T: sealed::EncodeAll> Values for T {}

pub(super) mod sealed {
    use super::Encoder;
    use crate::recorder::plain::{Plain, Room};

    pub trait Encode {
        #[doc(hidden)]
        fn encode(&self, encoder: &mut Encoder);

        /// The value as a plain one, if it is one; `encode` writes the same.
        #[doc(hidden)]
        #[inline(always)]
        fn plain(&self) -> Option<Plain<'_>> {
            None
        }
    }

    pub trait EncodeAll {
        #[doc(hidden)]
        fn encode_all(&self, encoder: &mut Encoder);

        /// Writes the values if all are plain and there is room for them.
        #[doc(hidden)]
        fn put_all(&self, room: Room) -> Option<Room>;
    }
}
use sealed::{Encode, EncodeAll};

impl EncodeAll for () {
    #[inline]
    fn encode_all(&self, _: &mut Encoder) {}

    #[inline(always)]
    fn put_all(&self, room: Room) -> Option<Room> {
        Some(room)
    }
}

impl<First: Encode + ?Sized, Rest: EncodeAll> EncodeAll for (&First, Rest) {
    #[inline]
    fn encode_all(&self, encoder: &mut Encoder) {
        self.0.encode(encoder);
        self.1.encode_all(encoder);
    }

    #[inline(always)]
    fn put_all(&self, room: Room) -> Option<Room> {
        self.1.put_all(room.put(self.0.plain()?)?)
    }
}

/// Where values are written: the free rest of the thread's chunk, or memory of the encoder's own once that is too small.
pub struct Encoder {
    to: *mut u8,
    at: usize,
    room: usize,
    /// Backs `to` once the encoder has left the chunk.
    own: Vec<u8>,
    in_chunk: bool,
}

impl Encoder {
    /// An encoder into memory of its own.
    pub(super) fn owned() -> Self {
        Self {
            to: std::ptr::NonNull::dangling().as_ptr(),
            at: 0,
            room: 0,
            own: Vec::new(),
            in_chunk: false,
        }
    }

    /// An encoder into the rest of the chunk.
    ///
    /// # Safety
    /// `to` is valid for writing `room` bytes by this thread alone, until it ends the record it is in the middle of; the thread
    /// is in the middle of one.
    #[inline]
    pub(super) unsafe fn in_chunk(to: *mut u8, room: usize) -> Self {
        Self {
            to,
            at: 0,
            room,
            own: Vec::new(),
            in_chunk: true,
        }
    }

    /// How many bytes were encoded into the chunk; `None` if they did not fit.
    #[inline]
    pub(super) fn length_in_chunk(&self) -> Option<usize> {
        self.in_chunk.then_some(self.at)
    }

    /// What was encoded, if it did not fit into the chunk.
    pub(super) fn own_bytes(&self) -> &[u8] {
        if self.in_chunk {
            return &[];
        }
        // SAFETY: outside a chunk `to` is `own`'s buffer (or `at` is 0), and `at` bytes of it were written.
        unsafe { std::slice::from_raw_parts(self.to, self.at) }
    }

    /// Makes room for `more` bytes.
    #[inline]
    fn reserve(&mut self, more: usize) {
        if self.room - self.at < more {
            self.leave_chunk(more);
        }
    }

    /// Goes on in memory of the encoder's own, with room for `more` bytes.
    #[cold]
    #[inline(never)]
    fn leave_chunk(&mut self, more: usize) {
        let mut own = Vec::with_capacity((self.at + more).next_power_of_two().max(1024));
        // SAFETY: `at` bytes at `to` were written by this encoder, in the chunk or in `own`, which is still alive.
        own.extend_from_slice(unsafe { std::slice::from_raw_parts(self.to, self.at) });
        if self.in_chunk {
            self.in_chunk = false;
            thread::leave_record();
        }
        self.to = own.as_mut_ptr();
        self.room = own.capacity();
        self.own = own;
    }

    /// Writes `bytes` without a look at the limit. Callers write at most 13 bytes of fixed size, or have looked.
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        // SAFETY: `reserve` left at least that much room behind `at`, and `bytes` lies elsewhere: nobody else has a
        // reference into the unpublished rest of the chunk, nor into `own`.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.to.add(self.at), bytes.len());
        }
        self.at += bytes.len();
    }

    #[inline]
    fn tag(&mut self, tag: u8) {
        self.write(&[tag]);
    }

    #[inline]
    fn number(&mut self, tag: u8, number: u64) {
        let mut bytes = [tag; 9];
        bytes[1..].copy_from_slice(&number.to_le_bytes());
        self.write(&bytes);
    }

    #[inline]
    fn text(&mut self, tag: u8, text: &str) {
        let length = text.len();
        if length + 5 <= self.room - self.at {
            let mut head = [tag; 5];
            head[1..].copy_from_slice(&(length as u32).to_le_bytes());
            self.write(&head);
            self.write(text.as_bytes());
        } else {
            self.long_text(tag, text);
        }
    }

    #[cold]
    #[inline(never)]
    fn long_text(&mut self, tag: u8, text: &str) {
        let room = MAX_INFO_BYTES.saturating_sub(self.at + 5);
        let (tag, text) = if text.len() <= room {
            (tag, text)
        } else {
            (tag::CUT, cut_at(text, room))
        };
        let mut head = [tag; 5];
        head[1..].copy_from_slice(&(text.len() as u32).to_le_bytes());
        self.reserve(5 + text.len());
        self.write(&head);
        self.write(text.as_bytes());
    }

    /// Writes which shape the values that follow belong to.
    #[inline]
    pub(super) fn shape(&mut self, number: u32) {
        self.write(&number.to_ne_bytes());
    }

    fn is_full(&self) -> bool {
        self.at + 16 > MAX_INFO_BYTES
    }

    /// Writes what a program's formatting code produces. Not into the chunk: that code may record points itself.
    #[cold]
    fn formatted(&mut self, value: fmt::Arguments<'_>) {
        self.leave_chunk(64);
        let start = self.at;
        self.write(&[tag::TEXT, 0, 0, 0, 0]);
        let mut text = Bounded {
            encoder: self,
            cut: false,
        };
        let written = catch_unwind(AssertUnwindSafe(|| text.write_fmt(value)));
        let cut = text.cut;
        if written.is_err() {
            // A value that cannot be shown must not end the program.
            self.at = start + 5;
            self.write(b"(panicked while being formatted)");
        }
        let length = ((self.at - start - 5) as u32).to_le_bytes();
        // SAFETY: the 5 bytes at `start` were written above, into `own`.
        unsafe {
            std::ptr::copy_nonoverlapping(length.as_ptr(), self.to.add(start + 1), 4);
            if cut {
                *self.to.add(start) = tag::CUT;
            }
        }
    }

    fn list<'a, T: Encode + 'a>(&mut self, values: impl IntoIterator<Item = &'a T>) {
        self.tag(tag::LIST);
        for value in values {
            if self.is_full() {
                self.text(tag::CUT, "");
                break;
            }
            value.encode(self);
        }
        self.tag(tag::END);
    }
}

/// The longest beginning of `text` of at most `length` bytes that ends between two characters.
pub(super) fn cut_at(text: &str, length: usize) -> &str {
    let mut end = length.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Takes formatted text up to the limit.
struct Bounded<'a> {
    encoder: &'a mut Encoder,
    cut: bool,
}

impl Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_INFO_BYTES.saturating_sub(self.encoder.at);
        if text.len() <= room {
            self.encoder.write(text.as_bytes());
            return Ok(());
        }
        let text = cut_at(text, room);
        self.encoder.write(text.as_bytes());
        self.cut = true;
        // Ends the formatting: nothing more would be kept.
        Err(fmt::Error)
    }
}

impl Encode for str {
    #[inline]
    fn encode(&self, encoder: &mut Encoder) {
        encoder.text(tag::TEXT, self);
    }

    #[inline(always)]
    fn plain(&self) -> Option<Plain<'_>> {
        Some(Plain::Text(tag::TEXT, self))
    }
}

impl Encode for bool {
    #[inline]
    fn encode(&self, encoder: &mut Encoder) {
        encoder.tag(if *self { tag::TRUE } else { tag::FALSE });
    }

    #[inline(always)]
    fn plain(&self) -> Option<Plain<'_>> {
        Some(Plain::Tag(if *self { tag::TRUE } else { tag::FALSE }))
    }
}

macro_rules! encode_numbers {
    ($($tag:ident as $wide:ty: $($number:ty)*;)*) => {$($(
        impl Encode for $number {
            #[inline]
            fn encode(&self, encoder: &mut Encoder) {
                encoder.number(tag::$tag, <$wide>::from(*self) as u64);
            }

            #[inline(always)]
            fn plain(&self) -> Option<Plain<'_>> {
                Some(Plain::Number(tag::$tag, <$wide>::from(*self) as u64))
            }
        }
    )*)*};
}
encode_numbers! {
    SIGNED as i64: i8 i16 i32 i64;
    UNSIGNED as u64: u8 u16 u32 u64;
}

impl Encode for isize {
    #[inline]
    fn encode(&self, encoder: &mut Encoder) {
        encoder.number(tag::SIGNED, *self as u64);
    }

    #[inline(always)]
    fn plain(&self) -> Option<Plain<'_>> {
        Some(Plain::Number(tag::SIGNED, *self as u64))
    }
}

impl Encode for usize {
    #[inline]
    fn encode(&self, encoder: &mut Encoder) {
        encoder.number(tag::UNSIGNED, *self as u64);
    }

    #[inline(always)]
    fn plain(&self) -> Option<Plain<'_>> {
        Some(Plain::Number(tag::UNSIGNED, *self as u64))
    }
}

impl Encode for f64 {
    #[inline]
    fn encode(&self, encoder: &mut Encoder) {
        encoder.number(tag::FLOAT, self.to_bits());
    }

    #[inline(always)]
    fn plain(&self) -> Option<Plain<'_>> {
        Some(Plain::Number(tag::FLOAT, self.to_bits()))
    }
}

impl Encode for f32 {
    #[inline]
    fn encode(&self, encoder: &mut Encoder) {
        f64::from(*self).encode(encoder);
    }

    #[inline(always)]
    fn plain(&self) -> Option<Plain<'_>> {
        Some(Plain::Number(tag::FLOAT, f64::from(*self).to_bits()))
    }
}

impl Encode for u128 {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.text(tag::DIGITS, &self.to_string());
    }
}

impl Encode for i128 {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.text(tag::DIGITS, &self.to_string());
    }
}

impl Encode for char {
    fn encode(&self, encoder: &mut Encoder) {
        self.encode_utf8(&mut [0; 4]).encode(encoder);
    }
}

impl Encode for () {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.tag(tag::NULL);
    }

    #[inline(always)]
    fn plain(&self) -> Option<Plain<'_>> {
        Some(Plain::Tag(tag::NULL))
    }
}

impl Encode for Id<'_> {
    fn encode(&self, encoder: &mut Encoder) {
        let mut text = String::with_capacity(36);
        self.push_to(&mut text);
        text.encode(encoder);
    }
}

impl<T: Encode> Encode for Option<T> {
    #[inline]
    fn encode(&self, encoder: &mut Encoder) {
        match self {
            Some(value) => value.encode(encoder),
            None => encoder.tag(tag::NULL),
        }
    }

    #[inline(always)]
    fn plain(&self) -> Option<Plain<'_>> {
        match self {
            Some(value) => value.plain(),
            None => Some(Plain::Tag(tag::NULL)),
        }
    }
}

impl<T: Encode> Encode for [T] {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.list(self);
    }
}

impl<T: Encode, const N: usize> Encode for [T; N] {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.list(self);
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.list(self);
    }
}

impl Encode for String {
    #[inline]
    fn encode(&self, encoder: &mut Encoder) {
        self.as_str().encode(encoder);
    }

    #[inline(always)]
    fn plain(&self) -> Option<Plain<'_>> {
        self.as_str().plain()
    }
}

impl Encode for Cow<'_, str> {
    fn encode(&self, encoder: &mut Encoder) {
        str::encode(self, encoder);
    }

    #[inline(always)]
    fn plain(&self) -> Option<Plain<'_>> {
        str::plain(self)
    }
}

macro_rules! encode_through {
    ($($pointer:ty),*) => {$(
        impl<T: Encode + ?Sized> Encode for $pointer {
            #[inline]
            fn encode(&self, encoder: &mut Encoder) {
                T::encode(self, encoder);
            }

            #[inline(always)]
            fn plain(&self) -> Option<Plain<'_>> {
                T::plain(self)
            }
        }
    )*};
}
encode_through!(&T, &mut T, Box<T>, Rc<T>, Arc<T>);

/// A value shown by its `Display`; see [`display`].
pub struct Displayed<T>(T);

/// A value shown by its `Debug`; see [`debug`].
pub struct Debugged<T>(T);

/// Members of an object whose keys are known only at run time; see [`members`].
pub struct Members<'a, K, V>(&'a [(K, V)]);

/// `value` as text, by its `Display`; `%value` within [`point!`](crate::point). Formatted only if the point is on, into a buffer (an
/// allocation: 60 ns with the formatting of a small number).
///
/// ```
/// # use osprofiler::{point, recorder::display};
/// let address: std::net::IpAddr = [127, 0, 0, 1].into();
/// let _point = point!("connect", {"to": %address});
/// let _same = point!("connect", {"to": display(address)});
/// ```
pub fn display<T: fmt::Display>(value: T) -> Displayed<T> {
    Displayed(value)
}

/// `value` as text, by its `Debug`; `?value` within [`point!`](crate::point). Cost as [`display`].
///
/// ```
/// # use osprofiler::{point, recorder::debug};
/// let range = 1..4;
/// let _point = point!("read", {"pages": ?range});
/// let _same = point!("read", {"pages": debug(range)});
/// ```
pub fn debug<T: fmt::Debug>(value: T) -> Debugged<T> {
    Debugged(value)
}

/// An object with these members, for keys that are known only at run time. Costs a copy of keys and values.
///
/// ```
/// # use osprofiler::{point, recorder::members};
/// let labels = vec![("zone", "north"), ("rack", "7")];
/// let _point = point!("schedule", {"labels": members(&labels)});
/// ```
pub fn members<K: AsRef<str>, V: Value>(members: &[(K, V)]) -> Members<'_, K, V> {
    Members(members)
}

impl<T: fmt::Display> Encode for Displayed<T> {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.formatted(format_args!("{}", self.0));
    }
}

impl<T: fmt::Debug> Encode for Debugged<T> {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.formatted(format_args!("{:?}", self.0));
    }
}

impl<K: AsRef<str>, V: Encode> Encode for Members<'_, K, V> {
    fn encode(&self, encoder: &mut Encoder) {
        // `as_ref` is the program's code.
        encoder.leave_chunk(64);
        encoder.tag(tag::OPEN);
        for (key, value) in self.0 {
            if encoder.is_full() {
                encoder.text(tag::TEXT, "...");
                encoder.text(tag::CUT, "");
                break;
            }
            encoder.text(tag::TEXT, key.as_ref());
            value.encode(encoder);
        }
        encoder.tag(tag::CLOSE);
    }
}
