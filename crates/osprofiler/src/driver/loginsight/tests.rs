// SPDX-License-Identifier: Apache-2.0
//! What a writer and a reader do with answers that the stand-in of the other tests does not give.

use super::reader::LogInsightReader;
use super::settings::Settings;
use super::writer::LogInsightWriter;
use crate::driver::http::scripted::{Say, Scripted};
use crate::driver::{ConnectionString, ListFilter, Reader, Writer};
use crate::{Id, Loss, LossReason, Notifications};

/// The server at one address, without TLS, for events and for queries.
fn settings(server: &Scripted) -> Settings {
    let connection = ConnectionString::parse("loginsight://u:p@h?tls_verify=false").unwrap();
    let address = format!("http://{}", server.address);
    Settings {
        ingestion: address.clone(),
        queries: address,
        ..Settings::of(&connection).unwrap()
    }
}

fn answer(text: &str) -> Say {
    Say::Answer(200, text.to_owned())
}

fn session() -> Say {
    answer(r#"{"sessionId": "s"}"#)
}

#[test]
fn a_loss_that_is_told_again_has_the_mark_it_had() {
    // Where a connection ends the client tries once more by itself.
    let answers = vec![Say::Nothing, Say::Nothing, answer("{}"), answer("{}")];
    let server = Scripted::new(answers);
    let mut writer = LogInsightWriter::new(settings(&server));
    let (count, reason) = (5, LossReason::QueueFull);
    for fails in [true, false, false] {
        let told = writer.write_loss(Some(Id::from_u128(1)), Loss { count, reason });
        assert_eq!(told.is_err(), fails);
    }
    let [lost, at_once, again, another] = [(); 4].map(|()| server.request().body);
    assert_eq!([&at_once, &again], [&lost; 2]);
    assert_ne!(another, lost);
}

#[test]
fn a_loss_that_is_stored_twice_is_read_once() {
    let loss = |mark: &str| {
        let lost = r#"{\"osprofiler_lost\": 5, \"reason\": \"exit\", \"base_id\": \"b\"}"#;
        format!(r#"{{"fields": [{{"name": "lost", "content": "{lost}"}}{mark}]}}"#)
    };
    let marked = |mark| {
        loss(&format!(
            r#", {{"name": "lost_mark", "content": "{mark}"}}"#
        ))
    };
    // Two that are told twice, and two without a mark.
    let events = [
        marked("1"),
        loss(""),
        marked("2"),
        marked("1"),
        loss(""),
        marked("2"),
    ];
    let events = events.join(", ");
    let server = Scripted::new(vec![
        session(),
        answer("{}"),
        answer(&format!(r#"{{"events": [{events}]}}"#)),
    ]);
    let mut reader = LogInsightReader::new(settings(&server));
    let id = Id::parse("b").unwrap();
    let summary = reader.read(id, &mut Notifications::default()).unwrap();
    let (count, reason) = (20, LossReason::Exit);
    assert_eq!(summary.losses, [Loss { count, reason }]);
    assert_eq!(summary.skipped, 0);
}

#[test]
fn answers_that_do_not_go_back_in_time_are_an_error() {
    let page = |time: i64| {
        let event = format!(r#"{{"timestamp": {time}}}"#);
        answer(&format!(
            r#"{{"events": [{}]}}"#,
            vec![event; 20_000].join(",")
        ))
    };
    for (times, expected) in [
        (
            [3, 3],
            Some("`: more than 20000 of its events are of one millisecond"),
        ),
        (
            [3, 4],
            Some("(its events are newer than those that were asked for)"),
        ),
        ([3, 2], None),
    ] {
        let mut answers = vec![session()];
        answers.extend(times.map(page));
        answers.push(answer("{}"));
        let server = Scripted::new(answers);
        let mut reader = LogInsightReader::new(settings(&server));
        match (reader.list(ListFilter::All, &mut |_| {}), expected) {
            (Ok(skipped), None) => assert_eq!(skipped, 40_000),
            (Err(error), Some(expected)) => {
                let told = error.to_string();
                assert!(told.ends_with(expected), "{told}");
            }
            (done, _) => panic!("{times:?}: {done:?}"),
        }
    }
}
