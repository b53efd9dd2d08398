// SPDX-License-Identifier: Apache-2.0
//! Removing what was written twice: a batch whose storing failed for all that the writer knew is written again.

use std::collections::HashSet;

use crate::Notifications;

/// Removes, from `start` on, notifications whose point, name and time an earlier one has.
pub(super) fn remove(notifications: &mut Notifications, start: usize) {
    let mut seen = HashSet::with_capacity(notifications.len() - start);
    let keep: Vec<bool> = (0..notifications.len())
        .map(|index| {
            let notification = notifications.get(index);
            let [name, ..] = notifications.text_numbers(index);
            index < start || seen.insert((notification.trace_id, name, notification.timestamp))
        })
        .collect();
    drop(seen);
    if keep.contains(&false) {
        notifications.retain(|index| keep[index]);
    }
}
