// SPDX-License-Identifier: Apache-2.0
//! A driver that holds back what it has taken: that is stored when it leaves, lost if it cannot, and waits until then.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{LIMITS, Mood};
use crate::delivery::counters::Tally;
use crate::delivery::messages::Messages;
use crate::delivery::queue::{Behind, Outlet, Queue};
use crate::driver::Writer;
use crate::{
    Error, ErrorKind, Id, Loss, LossReason, Notification, Notifications, Result, Timestamp,
};

/// What a writer does with its next calls, and how much it holds back then.
type Plan = Arc<Mutex<(Mood, u64)>>;

struct Holding {
    plan: Plan,
    held: u64,
}

impl Holding {
    fn call(&mut self) -> Result<()> {
        let (mood, held) = *self.plan.lock().unwrap();
        match mood {
            Mood::Takes => {
                self.held = held;
                Ok(())
            }
            Mood::IsDown => Err(Error::new(ErrorKind::Unavailable, "connection refused")),
            Mood::Refuses => {
                self.held = held;
                Err(Error::new(ErrorKind::Denied, "permission denied"))
            }
            Mood::Panics => panic!("a driver's defect, on purpose"),
        }
    }
}

impl Writer for Holding {
    fn write(&mut self, _batch: &Notifications) -> Result<()> {
        self.call()
    }

    fn write_loss(&mut self, _base_id: Option<Id<'_>>, _loss: Loss) -> Result<()> {
        Ok(())
    }

    fn take_losses(&mut self) -> Vec<Loss> {
        Vec::new()
    }

    fn held(&self) -> u64 {
        self.held
    }

    fn finish(&mut self) -> Result<()> {
        self.call()
    }
}

/// Writes batches of four to a writer that does with each as the plans say, and then closes it. `expected` is, after each, what
/// is stored, lost and waiting.
fn check(plans: &[(Mood, u64)], expected: &[(u64, u64, u64)], reasons: &[LossReason]) {
    let plan = Plan::new(Mutex::new((Mood::Takes, 0)));
    let opened = Arc::clone(&plan);
    let open = move || {
        let plan = Arc::clone(&opened);
        Ok(Box::new(Holding { plan, held: 0 }) as Box<dyn Writer>)
    };
    let mut queue = Queue::new(
        Behind {
            name: "test".to_owned(),
            open: Box::new(open),
            survives_fork: true,
            spool: None,
            tally: Box::leak(Box::default()),
        },
        LIMITS,
    );
    let (tally, messages) = (Tally::new(), Messages::new(Box::leak(Box::default())));
    let outlet = Outlet {
        tally: &tally,
        messages: &messages,
    };
    let id = Id::from_u128(1);
    let notification = Notification {
        name: "x-start",
        base_id: id,
        trace_id: id,
        parent_id: id,
        timestamp: Timestamp::default(),
        info: "{}",
        project: None,
        service: None,
    };
    let mut recorded = 0;
    let mut seen = Vec::new();
    for (turn, next) in plans.iter().enumerate() {
        *plan.lock().unwrap() = *next;
        if turn + 1 < plans.len() {
            for _ in 0..4 {
                recorded += 1;
                queue.push(&notification, recorded, outlet);
            }
            queue.hurry();
            queue.step(&|| Duration::from_secs(1) * turn as u32, outlet);
        } else {
            queue.close(outlet);
        }
        let counters = tally.counters(|| recorded);
        seen.push((counters.stored(), counters.lost(), counters.waiting()));
    }
    assert_eq!(seen, expected, "{plans:?}");
    let lost: Vec<_> = tally
        .counters(|| recorded)
        .losses()
        .map(|loss| loss.reason)
        .collect();
    assert_eq!(lost, reasons);
}

#[test]
fn what_is_held_back_waits_until_it_leaves() {
    use Mood::{IsDown, Takes};
    check(
        &[(Takes, 3), (Takes, 5), (Takes, 0), (Takes, 1), (Takes, 0)],
        &[(1, 0, 3), (3, 0, 5), (12, 0, 0), (15, 0, 1), (16, 0, 0)],
        &[],
    );
    check(
        &[(Takes, 4), (IsDown, 0)],
        &[(0, 0, 4), (0, 4, 0)],
        &[LossReason::Exit],
    );
    // A batch that was not taken waits in the queue.
    check(
        &[(Takes, 1), (IsDown, 0), (Takes, 0)],
        &[(3, 0, 1), (3, 0, 5), (4, 0, 4)],
        &[],
    );
}

#[test]
fn what_is_held_back_goes_with_a_writer_that_fails() {
    use Mood::{Panics, Refuses, Takes};
    check(
        &[(Takes, 2), (Panics, 0), (Takes, 0)],
        &[(2, 0, 2), (2, 6, 0), (2, 6, 0)],
        &[LossReason::DriverFailed],
    );
    check(
        &[(Takes, 2), (Panics, 0)],
        &[(2, 0, 2), (2, 2, 0)],
        &[LossReason::Exit],
    );
    // What it lets go of it has stored, or says that it lost it.
    check(
        &[(Takes, 2), (Refuses, 1), (Takes, 0)],
        &[(2, 0, 2), (3, 4, 1), (4, 4, 0)],
        &[LossReason::Refused],
    );
}
