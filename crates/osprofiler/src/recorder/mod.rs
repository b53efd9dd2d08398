// SPDX-License-Identifier: Apache-2.0
//! Trace points, context, clock, ids, info: what runs on the traced thread.
