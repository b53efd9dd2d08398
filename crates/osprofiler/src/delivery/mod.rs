// SPDX-License-Identifier: Apache-2.0
//! From recorded events to stores: one background thread a process.
