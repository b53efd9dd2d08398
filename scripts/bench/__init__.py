# SPDX-License-Identifier: Apache-2.0
"""`make bench`: what a process costs from outside, beside upstream's; the crate in `benches/` measures inside."""
