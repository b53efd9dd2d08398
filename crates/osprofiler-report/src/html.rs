// SPDX-License-Identifier: Apache-2.0
//! The report as one HTML file that needs nothing else: no network, no other file, no step between it and the reader.
//!
//! The page is fixed text, put together here from `viewer/`; of the report it holds one block of base64, which no value can
//! leave, and its script shows values as text only. Its policy forbids every request and every script but its own.
//!
//! # The block
//! Raw deflate, in base64. Inflated, little-endian: the length of the head (`u32`), the head (JSON, made of numbers and column names only),
//! then the columns in the head's order, each beginning at a multiple of 8. The head:
//! `{"format": 1, "columns": [[name, type, length], ...], "base_id": T, "started": T, "duration_us": n, "skipped": n}`.
//! A `T` is the number of a text, -1 for none. Types are those of JavaScript's typed arrays: `u8`, `u32`, `i32`, `f64`. Times are
//! microseconds since the trace's first notification, as `i32` where all fit (35 minutes), else as `f64` (exact for 285 years).
//!
//! | column | an entry for | holds |
//! |---|---|---|
//! | `parent` | each point, in the tree's order from top to bottom | the number of its parent, which comes before it; -1 at the top |
//! | `start_us`, `stop_us` | point | begin and end |
//! | `name`, `origin` | point | T; the number of its origin |
//! | `flags` | point | 1 has a start, 2 has a stop, 4 ended with an error, 8 orphan, 16 closes a cycle |
//! | `id` | point, 16 entries each | the id's bytes if it is a canonical UUID, else zeros |
//! | `id_text`, `parent_text` | point | T of an id that is no UUID; T of the parent's id where it is not the parent point's |
//! | `start_info`, `stop_info` | point | T: JSON as it was recorded |
//! | `origin_project`, `origin_service`, `origin_host` | origin | T |
//! | `other_point`, `other_name`, `other_us`, `other_info` | notification that is neither a point's start nor its stop | its point, T, time, T |
//! | `loss_reason`, `loss_count` | reason | T; number of notifications lost |
//! | `text_end`, `text_bytes` | text; byte | where it ends in the bytes, UTF-8 |

mod block;

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::renderer::RenderOptions;
use crate::report::Report;

const PAGE: &str = include_str!("viewer/page.html");
const STYLES: &[&str] = &[
    include_str!("viewer/tokens.css"),
    include_str!("viewer/style.css"),
];
const SCRIPTS: &[&str] = &[
    "(() => {\n\"use strict\";\n",
    include_str!("viewer/decode.js"),
    include_str!("viewer/json.js"),
    include_str!("viewer/words.js"),
    include_str!("viewer/model.js"),
    include_str!("viewer/layout.js"),
    include_str!("viewer/paint/element.js"),
    include_str!("viewer/paint/header.js"),
    include_str!("viewer/paint/tree.js"),
    include_str!("viewer/paint/waterfall.js"),
    include_str!("viewer/paint/details.js"),
    include_str!("viewer/paint/statistics.js"),
    include_str!("viewer/keys.js"),
    include_str!("viewer/listen.js"),
    include_str!("viewer/page.js"),
    "openPage();\n})();\n",
];

/// What is encoded at once; a multiple of 3, so that pieces of base64 join.
const PIECE: usize = 48 * 1024;

/// Writes the page. Takes no option: it adapts to the window it is read in.
pub(crate) fn render(
    report: &Report,
    _: &RenderOptions,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let mut rest = PAGE;
    while let Some((before, (slot, after))) = rest
        .split_once("{{")
        .and_then(|(before, rest)| Some((before, rest.split_once("}}")?)))
    {
        out.write_all(before.as_bytes())?;
        match slot {
            "policy" => out.write_all(policy().as_bytes())?,
            "style" => write_all(STYLES, out)?,
            "script" => write_all(SCRIPTS, out)?,
            _ => write_base64(&block::make(report)?, out)?,
        }
        rest = after;
    }
    out.write_all(rest.as_bytes())
}

/// What the page may do: run its own script and style, known by their hashes, and nothing else. No request of any kind leaves it, and
/// the browser refuses to make markup or script out of text.
fn policy() -> String {
    format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; base-uri 'none'; form-action 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        hash_source(SCRIPTS),
        hash_source(STYLES)
    )
}

fn hash_source(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
    }
    format!("sha256-{}", STANDARD.encode(hash.finalize()))
}

fn write_all(parts: &[&str], out: &mut dyn io::Write) -> io::Result<()> {
    parts
        .iter()
        .try_for_each(|part| out.write_all(part.as_bytes()))
}

fn write_base64(bytes: &[u8], out: &mut dyn io::Write) -> io::Result<()> {
    let mut text = String::new();
    for piece in bytes.chunks(PIECE) {
        text.clear();
        STANDARD.encode_string(piece, &mut text);
        out.write_all(text.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use osprofiler::driver::ReadSummary;
    use osprofiler::{Id, Loss, LossReason, Notification, Notifications, Timestamp};

    use super::*;

    fn page(notifications: Notifications) -> String {
        let losses = vec![Loss {
            count: 3,
            reason: LossReason::QueueFull,
        }];
        let report = Report::build(notifications, ReadSummary { skipped: 1, losses });
        let mut out = Vec::new();
        render(&report, &RenderOptions::default(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn block_of(page: &str) -> &str {
        let (_, rest) = page.split_once("id=\"trace\">").unwrap();
        rest.split_once("</script>").unwrap().0
    }

    #[test]
    fn every_slot_is_filled_once_and_in_order() {
        let slots: Vec<_> = PAGE
            .split("{{")
            .skip(1)
            .map(|rest| rest.split_once("}}").unwrap().0)
            .collect();
        assert_eq!(slots, ["policy", "style", "data", "script"]);
        assert!(!page(Notifications::default()).contains("{{"));
    }

    #[test]
    fn no_part_of_the_page_ends_its_element() {
        for part in SCRIPTS.iter().chain(STYLES) {
            let part = part.to_ascii_lowercase();
            for end in ["</script", "</style", "<!--", "<script"] {
                assert!(!part.contains(end), "{end}");
            }
        }
    }

    #[test]
    fn scripts_make_no_markup_and_no_request() {
        for part in SCRIPTS {
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "fetch(",
                "XMLHttpRequest",
                "import(",
            ] {
                assert!(!part.contains(word), "{word}");
            }
        }
    }

    #[test]
    fn no_value_reaches_the_page_outside_of_the_block() {
        let hostile = "</script><script>window.pwned=1</script>";
        let mut notifications = Notifications::default();
        for name in [format!("{hostile}-start"), format!("{hostile}-stop")] {
            notifications.push(&Notification {
                name: &name,
                base_id: Id::parse(hostile).unwrap(),
                trace_id: Id::parse("$DATA").unwrap(),
                parent_id: Id::parse(hostile).unwrap(),
                timestamp: Timestamp::from_micros(1),
                info: r#"{"host": "</script>", "x": "<!--"}"#,
                project: Some(hostile),
                service: Some(hostile),
            });
        }
        let with_values = page(notifications);
        let without = page(Notifications::default());
        assert_eq!(
            with_values.replace(block_of(&with_values), ""),
            without.replace(block_of(&without), "")
        );
        assert!(
            block_of(&with_values)
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
        );
    }

    #[test]
    fn pieces_of_base64_join() {
        let bytes: Vec<u8> = (0..=PIECE * 2).map(|index| index as u8).collect();
        let mut out = Vec::new();
        write_base64(&bytes, &mut out).unwrap();
        assert_eq!(STANDARD.decode(out).unwrap(), bytes);
    }
}
