// SPDX-License-Identifier: Apache-2.0
//! What a writer and a reader do with answers that no real server gives when they are wanted.

use super::settings::Settings;
use super::writer::ElasticsearchWriter;
use crate::driver::http::scripted::{Say, Scripted};
use crate::driver::{ConnectionString, Writer};
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
