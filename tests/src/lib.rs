// SPDX-License-Identifier: Apache-2.0
//! What crosses crates, as far as several tests share it: sample notifications, and the drivers' conformance suite.

pub mod conformance;
pub mod memory;
pub mod sample;
