// SPDX-License-Identifier: Apache-2.0
//! What was stored twice is read once.
//!
//! Delivery writes a batch again after an answer that did not come; a reader hands what it has read through here.

use std::collections::HashSet;

use crate::Notifications;

impl Notifications {
    /// Removes, from `start` on, what is there twice. Equal point, name and time are the same notification.
    pub(super) fn remove_duplicates(&mut self, start: usize) {
        let mut seen = HashSet::with_capacity(self.len() - start);
        let keep: Vec<bool> = (0..self.len())
            .map(|index| {
                let ([_, trace_id, _], timestamp) = self.ids_and_timestamp(index);
                let [name, ..] = self.text_numbers(index);
                index < start || seen.insert((trace_id, name, timestamp))
            })
            .collect();
        drop(seen);
        if keep.contains(&false) {
            self.retain(|index| keep[index]);
        }
    }
}
