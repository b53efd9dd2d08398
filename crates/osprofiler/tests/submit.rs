// SPDX-License-Identifier: Apache-2.0
//! What is handed in ready-made, seen from the store's side. Alone in its process: delivery is the process's, and so are
//! its counters.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use osprofiler::driver::Writer;
use osprofiler::{Id, Loss, LossReason, Notification, Notifications, Result, Timestamp, delivery};

/// Keeps what it was told.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Told>>);

type Told = Vec<(Option<String>, Loss)>;

impl Writer for Listener {
    fn write(&mut self, _batch: &Notifications) -> Result<()> {
        Ok(())
    }

    fn write_loss(&mut self, base_id: Option<Id<'_>>, loss: Loss) -> Result<()> {
        let base_id = base_id.map(|id| id.to_string());
        self.0
            .lock()
            .expect("no test panics with it")
            .push((base_id, loss));
        Ok(())
    }

    fn take_losses(&mut self) -> Vec<Loss> {
        Vec::new()
    }
}

#[test]
fn a_notification_too_large_is_told_to_the_store_and_a_flush_may_wait_for_ever() {
    let listener = Listener::default();
    let heard = listener.clone();
    let open = move || Ok(Box::new(heard.clone()) as Box<dyn Writer>);
    let origin = delivery::attach_own(None, Some("submit"), "h", "listener", open).unwrap();
    let base_id = Id::parse("B").unwrap();
    for bytes in [10, 1 << 20] {
        let info = format!("{{\"text\": \"{}\"}}", "x".repeat(bytes));
        let notification = Notification {
            name: "db-start",
            base_id,
            trace_id: base_id,
            parent_id: base_id,
            timestamp: Timestamp::default(),
            info: &info,
            project: None,
            service: None,
        };
        delivery::submit(origin, &notification);
    }
    let counters = delivery::flush(Duration::MAX);
    assert_eq!((counters.recorded(), counters.stored()), (2, 1));
    let (count, reason) = (1, LossReason::Refused);
    assert_eq!(
        *listener.0.lock().unwrap(),
        [(Some("B".to_owned()), Loss { count, reason })]
    );
}
