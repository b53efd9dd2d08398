// SPDX-License-Identifier: Apache-2.0
//! Redis. The bare loop: for each batch and trace one variadic push of JSON that is ready.

use std::collections::BTreeMap;

use osprofiler::{Notifications, wire};
use redis::IntoConnectionInfo as _;
use redis::io::tcp::TcpSettings;

use super::{Loop, Store, Upstream};
use crate::Outcome;

pub(super) const STORE: Store = Store {
    driver: "redis",
    floor_summary: "one LPUSH of ready JSON a trace and batch",
    floor,
    options: "",
    upstream: Upstream::alike,
    of_upstream: Some(50.0),
    points: None,
};

fn floor(store: &str, batches: &[Notifications]) -> Outcome<Loop> {
    let mut pushes = Vec::new();
    for batch in batches {
        let mut traces: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for notification in batch.iter() {
            let mut json = String::new();
            wire::push_json(&notification, &mut json);
            let list = format!("osprofiler_opt:{}", notification.base_id);
            traces.entry(list).or_default().push(json);
        }
        pushes.extend(traces);
    }
    let at_once = TcpSettings::default().set_nodelay(true);
    let server = store.into_connection_info()?.set_tcp_settings(at_once);
    let mut connection = redis::Client::open(server)?.get_connection()?;
    Ok(Box::new(move || {
        for (list, notifications) in &pushes {
            redis::cmd("LPUSH")
                .arg(list)
                .arg(notifications)
                .exec(&mut connection)?;
        }
        Ok(())
    }))
}
