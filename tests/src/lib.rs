// SPDX-License-Identifier: Apache-2.0
//! From notifications to report to text.
