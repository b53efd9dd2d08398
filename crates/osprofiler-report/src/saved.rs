// SPDX-License-Identifier: Apache-2.0
//! Reads a saved JSON report, ours or upstream's, back into the notifications that it was made of.
//!
//! A report carries each notification whole, under `meta.raw_payload.*` in a point's `info`; everything else in it follows
//! from those and is made anew. So an old report can be shown in any format. Nothing recurses: the way into the document is a
//! byte a level, and a file may nest as deep as it likes. What cannot be read is skipped and counted.

use osprofiler::driver::ReadSummary;
use osprofiler::wire::{self, json};
use osprofiler::{Error, ErrorKind, Loss, LossReason, Notifications, Result};

/// Some editors put it in front.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// What a container of the document is. The document is
/// `{"info": {..}, "children": [{"info": {"meta.raw_payload.x": {..}, ..}, "children": [..], ..}, ..], ..}`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The report, or a point.
    Node,
    /// A node's `info`.
    Info,
    /// A node's `children`.
    Children,
}

/// What a saved report held beside its notifications.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// What the report says was skipped and lost when it was made, and what was skipped now.
    pub summary: ReadSummary,
    /// Whether the document breaks off before its end, as a file does that was not copied or written to the end.
    pub is_cut_off: bool,
}

/// Appends the notifications of the report `document` to `notifications`, in the order of the document. Takes linear time.
///
/// # Errors
/// [`ErrorKind::Corrupt`] if the document is no report. A report that breaks off or is no JSON from some byte on is read as
/// far as it goes and what is missing counted as one skipped element, like an element that is no notification.
///
/// ```
/// # use osprofiler::Notifications;
/// # use osprofiler_report::saved;
/// let mut notifications = Notifications::default();
/// let report = br#"{"info": {"name": "total"}, "children": [], "stats": {}}"#;
/// assert!(saved::read(report, &mut notifications).is_ok());
/// assert!(saved::read(b"[]", &mut notifications).is_err());
/// ```
pub fn read(document: &[u8], notifications: &mut Notifications) -> Result<Saved> {
    let before = notifications.len();
    let mut reader = Reader {
        bytes: document.strip_prefix(BYTE_ORDER_MARK).unwrap_or(document),
        at: 0,
        path: Vec::new(),
        has_children: false,
        summary: ReadSummary::default(),
        notifications,
    };
    let is_whole = reader.document().is_some();
    let is_cut_off = !is_whole && reader.at >= reader.bytes.len();
    let Reader {
        mut summary,
        has_children,
        ..
    } = reader;
    if !has_children {
        return Err(not_a_report("it has no member `children`"));
    }
    if !is_whole {
        if notifications.len() == before {
            return Err(not_a_report("it breaks off before its first point"));
        }
        summary.skipped += 1;
    }
    Ok(Saved {
        summary,
        is_cut_off,
    })
}

fn not_a_report(why: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("not a saved report: {why}"))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    path: Vec<Place>,
    has_children: bool,
    summary: ReadSummary,
    notifications: &'a mut Notifications,
}

impl<'a> Reader<'a> {
    /// Reads to the document's end; `None` where it breaks off or is no JSON.
    fn document(&mut self) -> Option<()> {
        self.eat(b'{')?;
        self.path.push(Place::Node);
        let mut is_first = true;
        while let Some(&place) = self.path.last() {
            let end = if place == Place::Children { b']' } else { b'}' };
            if self.eat(end).is_some() {
                self.path.pop();
                is_first = false;
                continue;
            }
            if !is_first {
                self.eat(b',')?;
            }
            is_first = match place {
                Place::Children => self.child()?,
                Place::Node => self.node_member()?,
                Place::Info => self.info_member()?,
            };
        }
        Some(())
    }

    /// Steps into the next point; anything else in a list of points is skipped. The result of this and its like: whether a
    /// container was entered.
    fn child(&mut self) -> Option<bool> {
        Some(
            self.enter(b'{', Place::Node) || {
                self.value()?;
                self.summary.skipped += 1;
                false
            },
        )
    }

    fn node_member(&mut self) -> Option<bool> {
        let key = self.key()?;
        let is_entered = match key {
            b"\"children\"" => {
                let is_entered = self.enter(b'[', Place::Children);
                self.has_children |= is_entered;
                is_entered
            }
            b"\"info\"" => self.enter(b'{', Place::Info),
            _ => false,
        };
        if !is_entered {
            self.value()?;
        }
        Some(is_entered)
    }

    fn info_member(&mut self) -> Option<bool> {
        let key = self.key()?;
        let value = self.value()?;
        if key.starts_with(b"\"meta.raw_payload.") {
            match wire::parse(value) {
                Ok(parsed) => self.notifications.push(&parsed.as_notification()),
                Err(_) => self.summary.skipped += 1,
            }
        } else if self.path.len() == 2 {
            let value = std::str::from_utf8(value).unwrap_or_default();
            match key {
                b"\"skipped\"" => {
                    let skipped = value.parse().unwrap_or(0);
                    self.summary.skipped = self.summary.skipped.saturating_add(skipped);
                }
                b"\"lost_by_reason\"" => self.summary.losses = losses(value),
                _ => {}
            }
        }
        Some(false)
    }

    fn enter(&mut self, bracket: u8, place: Place) -> bool {
        let is_there = self.eat(bracket).is_some();
        if is_there {
            self.path.push(place);
        }
        is_there
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        self.blanks();
        let begin = self.at;
        self.string()?;
        let key = &self.bytes[begin..self.at];
        self.eat(b':')?;
        Some(key)
    }

    /// Moves over the value that comes next and returns its text.
    fn value(&mut self) -> Option<&'a [u8]> {
        self.blanks();
        let begin = self.at;
        let mut depth = 0usize;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                _ if depth > 0 => self.at += 1,
                _ => {
                    let rest = &self.bytes[self.at..];
                    let length = rest.iter().take_while(|byte| is_word(**byte)).count();
                    if length == 0 {
                        return None;
                    }
                    self.at += length;
                }
            }
            if depth == 0 {
                return Some(&self.bytes[begin..self.at]);
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return None;
        }
        self.at += 1;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(())
    }

    /// Moves over `byte` if it comes next.
    fn eat(&mut self, byte: u8) -> Option<()> {
        self.blanks();
        (self.bytes.get(self.at) == Some(&byte)).then(|| self.at += 1)
    }

    fn blanks(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}

/// Whether `byte` can be in a number or a word of JSON.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

fn losses(object: &str) -> Vec<Loss> {
    LossReason::ALL
        .into_iter()
        .filter_map(|reason| {
            let count = json::member(object, reason.name())?.parse().ok()?;
            (count > 0).then_some(Loss { count, reason })
        })
        .collect()
}
