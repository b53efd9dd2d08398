// SPDX-License-Identifier: Apache-2.0
//! What the report does, seen from outside: one program, one module a subject.

#[cfg(test)]
mod dot;
#[cfg(test)]
mod drawing;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod json;
#[cfg(test)]
mod saved;
#[cfg(test)]
mod self_time;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod tree;
