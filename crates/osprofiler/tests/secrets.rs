// SPDX-License-Identifier: Apache-2.0
//! Secrets in infos, seen from the store's side: masked unless the configuration says otherwise, whichever way they came. Alone
//! in its process: whether secrets are masked is the process's.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use osprofiler::driver::{ConnectionStrings, Writer};
use osprofiler::recorder::{Context, Origin};
use osprofiler::{
    Config, Id, Loss, Notification, Notifications, Result, Timestamp, delivery, point,
};

/// Keeps the infos that it was given.
#[derive(Clone, Default)]
struct Infos(Arc<Mutex<Vec<String>>>);

impl Writer for Infos {
    fn write(&mut self, batch: &Notifications) -> Result<()> {
        let infos = batch
            .iter()
            .map(|notification| notification.info.to_owned());
        self.0.lock().expect("no test panics with it").extend(infos);
        Ok(())
    }

    fn write_loss(&mut self, _base_id: Option<Id<'_>>, _loss: Loss) -> Result<()> {
        Ok(())
    }

    fn take_losses(&mut self) -> Vec<Loss> {
        Vec::new()
    }
}

/// Records a point and hands a notification in; returns the infos that arrive.
fn told(origin: Origin, infos: &Infos) -> Vec<String> {
    let trace = Context::new_trace(origin).attach();
    drop(point!("rpc", {"function": {"kwargs": "{'admin_password': 'hunter2'}", "token_id": 7}}));
    drop(trace);
    let base_id = Id::parse("B").expect("it is an id");
    let notification = Notification {
        name: "db-start",
        base_id,
        trace_id: base_id,
        parent_id: base_id,
        timestamp: Timestamp::default(),
        info: r#"{"db": {"params": {"password_hash": "hunter2"}}}"#,
        project: None,
        service: None,
    };
    delivery::submit(origin, &notification);
    assert_eq!(delivery::flush(Duration::MAX).lost(), 0);
    std::mem::take(&mut *infos.0.lock().expect("no test panics with it"))
}

#[test]
fn a_store_gets_no_secrets_unless_the_configuration_lets_them_through() {
    let infos = Infos::default();
    let kept = infos.clone();
    let open = move || Ok(Box::new(kept.clone()) as Box<dyn Writer>);
    let origin = delivery::attach_own(None, Some("secrets"), "h", "infos", open)
        .expect("a store of one's own can always be attached");
    assert_eq!(
        told(origin, &infos),
        [
            r#"{"function": {"kwargs": "{'admin_password': '***'}", "token_id": "***"}, "host": "h"}"#,
            r#"{"host": "h"}"#,
            r#"{"db": {"params": {"password_hash": "***"}}}"#,
        ]
    );
    let folder = tempfile::tempdir().expect("a folder can be made");
    let store = format!("file://{}", folder.path().join("traces.jsonl").display());
    let config = Config {
        enabled: true,
        mask_secrets: false,
        connection_string: ConnectionStrings::parse(&store).expect("it is one"),
        ..Config::default()
    };
    osprofiler::init(&config).expect("the driver is there");
    let told = told(origin, &infos);
    assert_eq!(told.join("\n").matches("hunter2").count(), 2, "{told:?}");
}
