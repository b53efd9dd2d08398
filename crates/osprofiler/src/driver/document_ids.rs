// SPDX-License-Identifier: Apache-2.0
//! Ids of documents, in the order of recording.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::recorder;

/// Ids of documents, in the order of recording: 32 bits of seconds, as every `ObjectId` begins, 20 of microseconds, 28 that
/// are this writer's alone, 16 that count. So batches of several writers are in order, too.
///
/// The client's own ids would not do: after a fork, parent and child go on with the same ones.
#[derive(Clone)]
pub(super) struct DocumentIds {
    micros: u64,
    writer: u64,
    count: u16,
}

impl DocumentIds {
    pub(super) fn new() -> Self {
        Self {
            micros: 0,
            writer: recorder::new_id() as u64 & 0xfff_ffff,
            count: 0,
        }
    }

    /// Lets the ids that follow begin with the time it is, or go on from those before if these are ahead of it.
    pub(super) fn take_time(&mut self) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.micros = (now.as_micros() as u64).max(self.micros + 1);
        self.count = 0;
    }

    pub(super) fn next(&mut self) -> [u8; 12] {
        let seconds = (self.micros / 1_000_000) as u32;
        let rest = (self.micros % 1_000_000) << 44 | self.writer << 16 | u64::from(self.count);
        let mut id = [0; 12];
        id[..4].copy_from_slice(&seconds.to_be_bytes());
        id[4..].copy_from_slice(&rest.to_be_bytes());
        self.count = self.count.wrapping_add(1);
        if self.count == 0 {
            self.micros += 1;
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_up_and_are_another_writers_no_more() {
        let (mut one, mut two) = (DocumentIds::new(), DocumentIds::new());
        let mut ids = Vec::new();
        for _ in 0..3 {
            one.take_time();
            ids.extend((0..100_000).map(|_| one.next()));
        }
        assert!(ids.is_sorted_by(|a, b| a < b));
        two.micros = one.micros;
        assert_ne!(one.next(), two.next());
    }
}
