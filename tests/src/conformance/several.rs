// SPDX-License-Identifier: Apache-2.0
//! What drivers have to do for who reads many traces at once: each comes as it comes alone.

use std::ops::ControlFlow;

use osprofiler::driver::Stored;
use osprofiler::{Loss, LossReason, Notifications};

use super::{Subject, assert_same, numbered};
use crate::sample::id;

pub(super) fn read_all(subject: &Subject) {
    let connection = subject.connection();
    let mut writer = subject.writer(&connection);
    for (trace, from) in [("b", 10), ("a", 0)] {
        writer
            .write(&numbered(trace, from, 5))
            .expect("the batch is stored");
    }
    let loss = Loss {
        count: 3,
        reason: LossReason::Exit,
    };
    writer
        .write_loss(Some(id("a")), loss)
        .expect("the loss is stored");
    drop(writer);
    let (mut of_a, mut of_b) = (Notifications::default(), Notifications::default());
    let mut losses = Vec::new();
    let mut each = |stored: Stored<'_>| {
        match stored {
            Stored::Notification(notification) if notification.base_id == id("a") => {
                of_a.push(&notification);
            }
            Stored::Notification(notification) => of_b.push(&notification),
            Stored::Loss(base_id, loss) => losses.push((base_id.map(|id| id.to_string()), loss)),
        }
        ControlFlow::Continue(())
    };
    let mut reader = subject.reader(&connection);
    let skipped = reader.read_all(&mut each).expect("the store is read");
    assert_eq!(skipped, 0);
    assert_same(&of_a, &numbered("a", 0, 5));
    assert_same(&of_b, &numbered("b", 10, 5));
    assert_eq!(losses, [(Some("a".to_owned()), loss)]);

    let mut elements = 0;
    let mut first = |_: Stored<'_>| {
        elements += 1;
        ControlFlow::Break(())
    };
    reader.read_all(&mut first).expect("the store is read");
    assert_eq!(elements, 1);
}

pub(super) fn read_each(subject: &Subject) {
    let connection = subject.connection();
    let mut writer = subject.writer(&connection);
    for (trace, from) in [("c", 20), ("b", 10), ("a", 0), ("d", 30)] {
        writer
            .write(&numbered(trace, from, 5))
            .expect("the batch is stored");
    }
    let mut read = [Notifications::default(), Notifications::default()];
    let mut each = |stored: Stored<'_>| {
        if let Stored::Notification(notification) = stored {
            let place = [id("a"), id("c")]
                .iter()
                .position(|wanted| *wanted == notification.base_id)
                .expect("a trace that was asked for");
            read[place].push(&notification);
        }
        ControlFlow::Continue(())
    };
    let traces = [id("a"), id("c"), id("unknown")];
    let skipped = subject.reader(&connection).read_each(&traces, &mut each);
    assert_eq!(skipped.expect("the store is read"), 0);
    assert_same(&read[0], &numbered("a", 0, 5));
    assert_same(&read[1], &numbered("c", 20, 5));
}
