// SPDX-License-Identifier: Apache-2.0
//! What a writer and a reader do with answers that no real server gives when they are wanted.

use std::net::TcpListener;

use super::client::{Ask, Call, Client};
use super::reader::ElasticsearchReader;
use super::settings::Settings;
use super::writer::ElasticsearchWriter;
use super::{READ, TIDY, WRITE};
use crate::driver::http::scripted::{Say, Scripted};
use crate::driver::{ConnectionString, ListFilter, Reader, Writer};
use crate::{Id, Loss, LossReason, Notification, Notifications, Timestamp};

const FIVE: Loss = Loss {
    count: 5,
    reason: LossReason::QueueFull,
};

fn settings(server: &Scripted) -> Settings {
    let text = format!("elasticsearch://{}", server.address);
    Settings::of(&ConnectionString::parse(&text).unwrap()).unwrap()
}

fn writer(server: &Scripted) -> ElasticsearchWriter {
    ElasticsearchWriter::new(settings(server))
}

fn batch(info: &str) -> Notifications {
    let mut batch = Notifications::default();
    batch.push(&Notification {
        name: "x-start",
        base_id: Id::from_u128(1),
        trace_id: Id::from_u128(2),
        parent_id: Id::from_u128(1),
        timestamp: Timestamp::from_micros(1),
        info,
        project: None,
        service: None,
    });
    batch
}

fn answer(text: &str) -> Say {
    Say::Answer(200, text.to_owned())
}

/// That the template is there.
fn prepared() -> Say {
    answer(r#"{"index_templates": [{"index_template": {"version": 1}}]}"#)
}

/// That one document is stored.
fn stored() -> Say {
    answer(r#"{"items": [{"create": {"status": 201}}]}"#)
}

/// The index that the next request is for, and the id of its first document.
fn index_and_id(server: &Scripted) -> (String, String) {
    let request = server.request();
    let part = |text: &str, mark, number| text.split(mark).nth(number).unwrap().to_owned();
    (part(&request.line, '/', 1), part(&request.body, '"', 5))
}

#[test]
fn a_batch_and_a_loss_that_come_again_have_the_ids_they_had() {
    let server = Scripted::new(vec![
        prepared(),
        Say::Nothing,
        Say::Nothing,
        stored(),
        stored(),
        stored(),
        stored(),
    ]);
    let mut writer = writer(&server);
    let (batch, trace) = (batch("{}"), Some(Id::from_u128(1)));
    for fails in [true, false, false] {
        assert_eq!(writer.write(&batch).is_err(), fails);
        assert_eq!(writer.write_loss(trace, FIVE).is_err(), fails);
    }
    assert!(server.request().line.starts_with("GET /_index_template/"));
    let told: Vec<_> = (0..6).map(|_| index_and_id(&server)).collect();
    for (index, which) in [("", 0), ("-lost", 1)] {
        let told: Vec<_> = told.iter().skip(which).step_by(2).collect();
        assert_eq!(told[0].0, format!("osprofiler-notifications{index}"));
        assert_eq!(told[0], told[1], "told again");
        assert_ne!(told[1], told[2], "another one");
    }
}

#[test]
fn a_call_takes_no_longer_than_it_may() {
    for (call, options, in_all_ms) in [
        (&WRITE, "", 7_000),
        (&WRITE, "?connect_timeout=1&socket_timeout=0.5", 1_500),
        (&TIDY, "", 1_000),
        (&TIDY, "?connect_timeout=1&socket_timeout=0.5", 500),
        (&TIDY, "?socket_timeout=30", 1_000),
    ] {
        let text = format!("elasticsearch://h/{options}");
        let settings = Settings::of(&ConnectionString::parse(&text).unwrap()).unwrap();
        let in_all = call.limits(&settings).in_all;
        assert_eq!(in_all.as_millis(), in_all_ms, "{} {text}", call.action);
    }
}

#[test]
fn a_removal_that_is_late_moves_no_later_call_to_another_server() {
    // The system connects, nobody answers.
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = Scripted::new(vec![answer("{}")]);
    let servers = format!("{},{}", busy.local_addr().unwrap(), other.address);
    let text = format!("elasticsearch://{servers}/?socket_timeout=0.9");
    let settings = Settings::of(&ConnectionString::parse(&text).unwrap()).unwrap();
    let mut client = Client::new(settings);
    let mut ask = |call| client.ask_for(call, Ask::Get, "/", &[]);
    for _ in 0..2 {
        assert!(ask(&TIDY).is_err(), "the other was asked");
    }
    assert!(ask(&WRITE).is_ok());
}

#[test]
fn a_server_that_refuses_does_not_stay_the_first_because_another_was_late_in_a_removal() {
    // The system connects, nobody answers.
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let servers = format!("127.0.0.1:1,{}", busy.local_addr().unwrap());
    let text = format!("elasticsearch://{servers}/?socket_timeout=0.9");
    let settings = Settings::of(&ConnectionString::parse(&text).unwrap()).unwrap();
    let mut client = Client::new(settings);
    let mut ask = || client.ask_for(&TIDY, Ask::Get, "/", &[]).err().unwrap();
    let [first, second] = [(); 2].map(|()| ask().to_string());
    let refused = "nobody listens there";
    assert!(first.contains(refused), "{first}");
    assert!(!second.contains(refused), "the dead one first: {second}");
}

#[test]
fn so_much_of_an_answer_is_read() {
    let most = |call: &Call| usize::try_from(call.most_answer_bytes).unwrap();
    let (write, read) = (most(&WRITE), most(&READ));
    for (call, status, len, is_read) in [
        (&WRITE, 200, write, true),
        (&WRITE, 200, write + 1, false),
        (&READ, 200, write + 1, true),
        (&READ, 200, read + 1, false),
        (&WRITE, 400, 64 << 10, true),
        (&WRITE, 400, (64 << 10) + 1, false),
        (&READ, 400, (64 << 10) + 1, false),
    ] {
        let text = format!("{{{}}}", " ".repeat(len - 2));
        let server = Scripted::new(vec![Say::Answer(status, text)]);
        let mut client = Client::new(settings(&server));
        let answer = client.ask_for(call, Ask::Get, "/", &[400]).unwrap();
        assert_eq!(answer.text.is_some(), is_read, "{status} {len}");
    }
}

#[test]
fn an_answer_that_is_too_large_is_an_honest_one_to_the_largest_document_only() {
    let large = || answer(&format!("{{{}}}", " ".repeat(8 << 20)));
    let server = Scripted::new(vec![prepared(), large()]);
    let error = writer(&server).write(&batch("{}")).unwrap_err();
    let told = error.to_string();
    assert!(
        error.is_temporary() && told.ends_with("its answer is larger than 8 MiB"),
        "{told}"
    );

    let server = Scripted::new(vec![prepared(), large(), stored()]);
    let mut writer = writer(&server);
    let info = format!(r#"{{"a": "{}"}}"#, "x".repeat(5 << 20));
    writer.write(&batch(&info)).unwrap();
    assert_eq!(writer.take_losses(), []);
    let [_, whole, text] = [(); 3].map(|()| server.request().body.contains("info_json"));
    assert!(!whole && text);
}

/// Reads or lists what a server gives after `before`: these pages, and then the `last`. What comes of it, or is told of it.
fn read(before: &[&str], pages: &[String], last: &str, lists: bool) -> Result<u64, String> {
    let pages = pages.iter().map(String::as_str);
    let texts = before.iter().copied().chain(pages).chain([last; 2]);
    let server = Scripted::new(texts.map(answer).collect());
    let mut reader = ElasticsearchReader::new(settings(&server));
    let skipped = if lists {
        reader.list(ListFilter::All, &mut |_| {})
    } else {
        let read = reader.read(Id::from_u128(1), &mut Notifications::default());
        read.map(|summary| summary.skipped)
    };
    skipped.map_err(|error| error.to_string().split("`: ").nth(1).unwrap().to_owned())
}

#[test]
fn pages_that_do_not_go_on_are_an_error() {
    let stuck = || Err("its pages do not go on from one to the next".to_owned());
    let page = |sort: &str| {
        let hit = format!(r#"{{"_id": "a", "_source": {{}}{sort}}}"#);
        format!(
            r#"{{"hits": {{"hits": [{}]}}}}"#,
            vec![hit; 1_000].join(", ")
        )
    };
    let at = |number| page(&format!(r#", "sort": [{number}]"#));
    let last = r#"{"hits": {"hits": []}}"#;
    for (pages, expected) in [
        (vec![page("")], stuck()),
        (vec![at(1), page("")], stuck()),
        (vec![at(1), at(1)], stuck()),
        (vec![at(1), at(2)], Ok(2_000)),
    ] {
        assert_eq!(read(&["{}"], &pages, last, false), expected);
    }
    let group = |traces: &str| {
        format!(r#"{{"aggregations": {{"traces": {{{traces}}}, "nameless": {{"doc_count": 7}}}}}}"#)
    };
    let key = |key| {
        group(&format!(
            r#""after_key": {{"id": "{key}"}}, "buckets": [{{"key": 1}}]"#
        ))
    };
    let last = group(r#""buckets": []"#);
    for (keys, expected) in [(["a", "a"], stuck()), (["a", "b"], Ok(9))] {
        assert_eq!(read(&["{}"; 2], &keys.map(key), &last, true), expected);
    }
}

#[test]
fn who_was_written_lately_is_asked_for_and_not_read() {
    let (old, new) = (Id::from_u128(1), Id::from_u128(2));
    let since = Timestamp::from_micros(1_234_567);
    let server = Scripted::new(vec![
        answer("{}"),
        answer("{}"),
        answer(&format!(
            r#"{{"aggregations": {{"traces": {{"buckets": [{{"key": "{new}", "doc_count": 9}}, {{"key": 7}}]}}}}}}"#
        )),
    ]);
    let mut reader = ElasticsearchReader::new(settings(&server));
    assert!(reader.written_since(&[], since).unwrap().is_empty());
    assert_eq!(
        reader.written_since(&[old, new], since).unwrap(),
        [false, true]
    );
    assert!(server.request().line.contains("/_refresh?"));
    assert!(server.request().line.contains("/_field_caps?"));
    let asked: serde_json::Value = serde_json::from_str(&server.request().body).unwrap();
    assert_eq!(asked["size"], 0);
    let filters = &asked["query"]["bool"]["filter"];
    let ids = [old, new].map(|id| id.to_string());
    assert_eq!(filters[0]["terms"]["base_id"], serde_json::json!(ids));
    let exact = &filters[1]["bool"]["should"][0]["range"]["timestamp.keyword"];
    assert_eq!(exact["gte"], since.to_string().as_str());
}
