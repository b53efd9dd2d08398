// SPDX-License-Identifier: Apache-2.0
//! The `osprofiler` command.
fn main() {}
