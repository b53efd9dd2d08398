// SPDX-License-Identifier: Apache-2.0
//! A hash of few instructions, for tables whose keys others choose.
//!
//! In: keys. Out: hashes that differ from table to table, so that nobody can choose keys that fall on each other. They say nothing to anybody
//! outside of the process.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// What nobody else knows.
#[derive(Clone, Copy)]
pub(crate) struct Secrets([u64; 2]);

impl Default for Secrets {
    fn default() -> Self {
        let random = RandomState::new();
        Self([random.hash_one(0), random.hash_one(1)])
    }
}

impl Secrets {
    /// The hash of a text.
    pub(crate) fn hash(self, bytes: &[u8]) -> u32 {
        let Self([first, second]) = self;
        let hash = fold(first ^ bytes.len() as u64, bytes, second);
        (hash ^ hash >> 32) as u32
    }
}

/// For maps.
impl BuildHasher for Secrets {
    type Hasher = SecretHasher;

    fn build_hasher(&self) -> SecretHasher {
        let Self([hash, second]) = *self;
        SecretHasher { hash, second }
    }
}

/// The hash of what has come so far.
pub(crate) struct SecretHasher {
    hash: u64,
    second: u64,
}

impl Hasher for SecretHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.hash = fold(self.hash, bytes, self.second);
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}

/// Two words a multiplication. Both factors are mixed with what nobody else knows: a text that makes one of them 0, which would let everything
/// else of the text go unseen, cannot be chosen.
fn fold(mut hash: u64, bytes: &[u8], second: u64) -> u64 {
    for chunk in bytes.chunks(16) {
        let mut words = [0; 16];
        words[..chunk.len()].copy_from_slice(chunk);
        let words = u128::from_le_bytes(words);
        let product = u128::from(words as u64 ^ hash) * u128::from((words >> 64) as u64 ^ second);
        hash = product as u64 ^ (product >> 64) as u64;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_counts_and_no_table_hashes_like_another() {
        let secrets = Secrets::default();
        let key = [7_u8; 40];
        let hash = secrets.hash_one(key);
        assert_eq!(secrets.hash_one(key), hash);
        assert_ne!(Secrets::default().hash_one(key), hash);
        for index in 0..key.len() {
            let mut other = key;
            other[index] = 0;
            assert_ne!(secrets.hash_one(other), hash, "byte {index}");
            assert_ne!(secrets.hash(&other), secrets.hash(&key), "byte {index}");
        }
    }
}
