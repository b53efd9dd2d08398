// SPDX-License-Identifier: Apache-2.0
//! From the notifications of a trace to its tree and statistics, and from these to text.
//!
//! [`Report::build`] makes the report of what a [`Reader`](osprofiler::driver::Reader) or [`saved::read`] found; a
//! [`Renderer`] out of [`RENDERERS`] writes it. Everything here is pure: no file, no clock, no environment variable, and
//! nothing recurses, so a chain of any depth is a report like any other. Notifications come from stores and files and
//! may hold anything.
//!
//! The modules stand in the order of that flow.

pub mod saved;

mod build;
mod report;
mod self_time;
mod totals;
mod walk;

mod dot;
mod html;
mod json;
mod renderer;
mod terminal;

pub use renderer::{Color, RENDERERS, RenderOptions, Renderer};
pub use report::{Point, PointId, Report};
pub use terminal::LEAST_WIDTH;
pub use totals::{NameTotal, ServiceTotal};
pub use walk::{Step, Walk};
