// SPDX-License-Identifier: Apache-2.0
//! A notification as the row that SQL drivers write: nine texts, the last of them a JSON text that holds JSON.

use osprofiler::Notification;
use osprofiler::wire::json;

pub(super) const COLUMNS: &str =
    "timestamp, base_id, parent_id, trace_id, project, host, service, name, data";
pub(super) const WIDTH: usize = 9;

pub(super) fn row(notification: &Notification<'_>) -> [Option<String>; WIDTH] {
    let host =
        json::member(notification.info, "host").map(|text| json::unescape(text).into_owned());
    let mut data = String::new();
    json::push_text(&format!("{{\"info\": {}}}", notification.info), &mut data);
    [
        Some(notification.timestamp.to_string()),
        Some(notification.base_id.to_string()),
        Some(notification.parent_id.to_string()),
        Some(notification.trace_id.to_string()),
        notification.project.map(str::to_owned),
        host,
        notification.service.map(str::to_owned),
        Some(notification.name.to_owned()),
        Some(data),
    ]
}
