// SPDX-License-Identifier: Apache-2.0
//! What was stored twice is read once.
//!
//! Delivery writes a batch again after an answer that did not come; a reader hands what it has read through here. A writer that
//! could tell the same batch from another spares the store most of it.

use std::collections::HashSet;
#[cfg(feature = "_fingerprint")]
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::Notifications;

impl Notifications {
    /// What a batch is known by when it comes again.
    #[cfg(feature = "_fingerprint")]
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for one in self.iter() {
            (one.base_id, one.trace_id, one.name, one.timestamp).hash(&mut hasher);
        }
        hasher.finish()
    }

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
