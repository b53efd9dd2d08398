// SPDX-License-Identifier: Apache-2.0
//! The bare loop for Redis: for each batch and trace one variadic push of JSON that is ready.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use osprofiler::driver::ConnectionString;
use osprofiler::{Notifications, wire};

use crate::Outcome;

pub(crate) fn floor(connection: &ConnectionString, batches: &[Notifications]) -> Outcome<Duration> {
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
    let begin = Instant::now();
    let mut connection = redis::Client::open(connection.to_string())?.get_connection()?;
    for (list, notifications) in &pushes {
        redis::cmd("LPUSH")
            .arg(list)
            .arg(notifications)
            .exec(&mut connection)?;
    }
    Ok(begin.elapsed())
}
