// SPDX-License-Identifier: Apache-2.0
//! The JSON of a notification, written and read.
