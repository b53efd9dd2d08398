// SPDX-License-Identifier: Apache-2.0
//! What a writer does with whatever a collector answers.

use super::batch;
use super::collector::{Collector, Say};
use crate::driver::otlp::settings::Settings;
use crate::driver::otlp::writer::OtlpWriter;
use crate::driver::{ConnectionString, Writer};
use crate::{Error, ErrorKind, Id, Loss, LossReason, Notifications};

fn writer(hosts: &str, options: &str) -> OtlpWriter {
    let connection = ConnectionString::parse(&format!("otlp://{hosts}?{options}")).unwrap();
    OtlpWriter::new(Settings::of(&connection).unwrap())
}

/// A point `P` with all of it.
fn point() -> Notifications {
    batch(&[
        ("P", "B", "x-start", 1, "{}"),
        ("P", "B", "x-stop", 2, "{}"),
    ])
}

fn told(error: &Error) -> String {
    let kind = error.kind();
    let temporary = if error.is_temporary() {
        "again"
    } else {
        "never"
    };
    format!("{kind:?} {temporary} {error}")
}

#[test]
fn a_span_is_sent_with_what_is_to_go_with_it() {
    let collector = Collector::new(vec![Say::Taken(b""), Say::Taken(b"")]);
    let mut writer = writer(&collector.address, "headers=x-tenant=a");
    for _ in 0..2 {
        writer.write(&point()).unwrap();
        let (head, spans) = collector.request();
        assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
        for line in [
            "content-type: application/x-protobuf",
            &format!("host: {}", collector.address),
            "x-tenant: a",
            "user-agent: osprofiler/",
        ] {
            assert!(head.contains(&format!("\r\n{line}")), "{line}: {head}");
        }
        assert_eq!(spans[1], "x 1 8a67< 1000+1000 ");
    }
}

#[test]
fn what_is_not_taken_is_tried_again_or_never() {
    const HTML: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>";
    const JUNK: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 6\r\n\r\n<html>";
    for (say, expected) in [
        (
            Say::Status("503 Service Unavailable", ""),
            "Unavailable again",
        ),
        (
            Say::Status("429 Too Many Requests", ""),
            "Unavailable again",
        ),
        (Say::Status("502 Bad Gateway", ""), "Unavailable again"),
        (Say::Status("401 Unauthorized", ""), "Denied again"),
        (Say::Status("404 Not Found", ""), "Corrupt again"),
        (
            Say::Status("302 Found", "location: /login\r\n"),
            "Corrupt again",
        ),
        (Say::Status("400 Bad Request", ""), "Usage never"),
        (Say::Status("413 Payload Too Large", ""), "Usage never"),
        (Say::Status("500 Internal Server Error", ""), "Usage never"),
        (Say::Bytes(HTML), "Corrupt again"),
        (Say::Bytes(JUNK), "Corrupt again"),
        (Say::Bytes(b"-ERR unknown command\r\n"), "Corrupt again"),
        (Say::Nothing, "Unavailable again"),
    ] {
        let collector = Collector::new(vec![say]);
        let error = writer(&collector.address, "").write(&point()).unwrap_err();
        let told = told(&error);
        assert!(told.starts_with(expected), "{told}");
        assert!(told.contains(&collector.address), "{told}");
    }
}

#[test]
fn a_collector_that_wants_to_be_left_alone_is() {
    let busy = "503 Service Unavailable";
    let collector = Collector::new(vec![Say::Status(busy, "retry-after: 60\r\n")]);
    let other = Collector::new(vec![Say::Taken(b""), Say::Taken(b"")]);
    let mut alone = writer(&collector.address, "");
    assert!(alone.write(&point()).is_err());
    let told = told(&alone.write(&point()).unwrap_err());
    assert!(
        told.contains("it wants to be left alone for 60 s"),
        "{told}"
    );
    assert_eq!(collector.unseen(), 1);
    // Beside another it is not waited for.
    let collector = Collector::new(vec![Say::Status(busy, "retry-after: 60\r\n")]);
    let hosts = format!("{},{}", collector.address, other.address);
    let mut both = writer(&hosts, "");
    for _ in 0..2 {
        both.write(&point()).unwrap();
        assert_eq!(other.request().1.len(), 2);
    }
    assert_eq!(collector.unseen(), 1);
}

#[test]
fn the_next_collector_takes_what_one_does_not() {
    let down = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let second = Collector::new(vec![Say::Taken(b""), Say::Nothing]);
    let third = Collector::new(vec![Say::Taken(b"")]);
    let hosts = format!("{down},{},{}", second.address, third.address);
    let mut writer = writer(&hosts, "");
    for collector in [&second, &third] {
        writer.write(&point()).unwrap();
        assert_eq!(collector.request().1.len(), 2);
    }
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_made_anew() {
    // A body whose end is the connection's.
    const LAST: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n\r\n";
    let collector = Collector::new(vec![Say::Bytes(LAST), Say::Taken(b"")]);
    let mut writer = writer(&collector.address, "");
    writer.write(&point()).unwrap();
    writer.write(&point()).unwrap();
    assert_eq!(collector.unseen(), 2);
}

#[test]
fn spans_that_were_refused_are_lost() {
    // A partial success: three spans, and why.
    const PARTIAL: &[u8] = b"\x0a\x08\x08\x03\x12\x04full";
    let json = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 42\r\n\r\n{\"partialSuccess\": {\"rejectedSpans\": \"1\"}}";
    let collector = Collector::new(vec![Say::Taken(PARTIAL), Say::Bytes(json)]);
    let mut writer = writer(&collector.address, "");
    let reason = LossReason::Refused;
    for count in [2, 2] {
        writer.write(&point()).unwrap();
        assert_eq!(writer.take_losses(), [Loss { count, reason }]);
    }
}

#[test]
fn a_loss_that_is_told_again_is_the_same_span() {
    let (count, reason) = (5, LossReason::QueueFull);
    for base_id in [None, Some(Id::from_u128(1))] {
        let answers = vec![Say::Nothing, Say::Taken(b""), Say::Taken(b"")];
        let collector = Collector::new(answers);
        let mut writer = writer(&collector.address, "");
        for fails in [true, false, false] {
            let told = writer.write_loss(base_id, Loss { count, reason });
            assert_eq!(told.is_err(), fails);
        }
        let [lost, again, another] = [(); 3].map(|()| collector.request().1);
        assert_eq!(lost, again);
        assert_ne!(again, another);
    }
}

/// 60 points, more than go into one request, after some rows.
fn large(before: &[super::Row<'_>]) -> Notifications {
    let text = "x".repeat(15_000);
    let info = format!(r#"{{"a": "{text}"}}"#);
    let ids: Vec<String> = (0..60).map(|number| format!("p{number}")).collect();
    let points = ids.iter().flat_map(|id| {
        [
            (&**id, "B", "x-start", 1, &*info),
            (&**id, "B", "x-stop", 2, "{}"),
        ]
    });
    let rows: Vec<_> = before.iter().copied().chain(points).collect();
    batch(&rows)
}

#[test]
fn what_is_refused_of_a_batch_is_lost_once_the_batch_is_stored() {
    // A partial success: three spans.
    const PARTIAL: &[u8] = b"\x0a\x02\x08\x03";
    let (busy, no) = ("503 Service Unavailable", "400 Bad Request");
    // What is told after each try, if the first answer refuses three spans of six notifications, one of which has waited.
    for (answers, expected) in [
        (vec![Say::Taken(PARTIAL), Say::Taken(b"")], vec![6]),
        (
            vec![
                Say::Taken(PARTIAL),
                Say::Status(busy, ""),
                Say::Taken(PARTIAL),
            ],
            vec![1, 5 + 6],
        ),
        // Delivery counts all of the batch as lost.
        (vec![Say::Taken(PARTIAL), Say::Status(no, "")], vec![1]),
        (
            vec![
                Say::Taken(PARTIAL),
                Say::Status(busy, ""),
                Say::Status(no, ""),
            ],
            vec![1, 0],
        ),
    ] {
        let collector = Collector::new(answers);
        let mut writer = writer(&collector.address, "");
        writer
            .write(&batch(&[("P", "B", "y-start", 1, "{}")]))
            .unwrap();
        let batch = large(&[("P", "B", "y-stop", 2, "{}")]);
        let told: Vec<u64> = expected
            .iter()
            .map(|_| {
                // Its answers are another test's.
                let _ = writer.write(&batch);
                let losses = writer.take_losses().into_iter();
                losses.map(|loss| loss.count).sum()
            })
            .collect();
        assert_eq!(told, expected);
    }
}

#[test]
fn a_batch_that_comes_again_goes_on_where_it_was() {
    let large = large(&[]);
    let busy = "503 Service Unavailable";
    let answers = vec![Say::Taken(b""), Say::Status(busy, ""), Say::Taken(b"")];
    let collector = Collector::new(answers);
    let mut writer = writer(&collector.address, "");
    writer
        .write(&batch(&[("P", "B", "y-start", 1, "{}")]))
        .unwrap();
    assert_eq!(writer.held(), 1);
    assert_eq!(
        writer.write(&large).unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    writer.write(&large).unwrap();
    let [first, refused, rest] = [(); 3].map(|()| collector.request().1);
    assert_eq!(refused, rest);
    assert_eq!(first.len() - 1 + rest.len() - 1, 60);
    assert_eq!((writer.held(), writer.take_losses()), (1, vec![]));
}

#[test]
fn what_waited_for_a_batch_that_is_refused_is_lost() {
    let collector = Collector::new(vec![Say::Status("400 Bad Request", "")]);
    let mut writer = writer(&collector.address, "");
    writer
        .write(&batch(&[("P", "B", "x-start", 1, "{}")]))
        .unwrap();
    let stop = batch(&[("P", "B", "x-stop", 2, "{}")]);
    assert!(!writer.write(&stop).unwrap_err().is_temporary());
    let (count, reason) = (1, LossReason::Refused);
    assert_eq!(writer.take_losses(), [Loss { count, reason }]);
    assert_eq!(writer.held(), 0);
}

#[test]
fn what_is_held_back_is_sent_at_the_end() {
    let collector = Collector::new(vec![Say::Taken(b"")]);
    let mut writer = writer(&collector.address, "");
    writer
        .write(&batch(&[("P", "B", "x-start", 1, "{}")]))
        .unwrap();
    assert_eq!((writer.held(), collector.unseen()), (1, 0));
    writer.finish().unwrap();
    assert_eq!(writer.held(), 0);
    let (_, spans) = collector.request();
    assert_eq!(
        spans[1],
        r#"x 1 8a67< 1000+0 osprofiler.incomplete="the point's end was not recorded""#
    );
}
