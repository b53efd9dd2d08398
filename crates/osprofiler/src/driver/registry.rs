// SPDX-License-Identifier: Apache-2.0
//! Which drivers there are: the one list from which help, errors, the README's table and the conformance suite come.
