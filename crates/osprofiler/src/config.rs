// SPDX-License-Identifier: Apache-2.0
//! The `[profiler]` options of oslo.config.
