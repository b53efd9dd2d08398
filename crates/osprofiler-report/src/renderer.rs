// SPDX-License-Identifier: Apache-2.0
//! The registry of renderers: a format is one file and one line here.
//!
//! Help, shell completions and error messages that list the formats derive from [`RENDERERS`].

use std::io;

use crate::report::Report;
use crate::{dot, html, json, terminal};

/// All formats, in the order in which help lists them.
pub const RENDERERS: &[Renderer] = &[
    Renderer {
        name: "tree",
        summary: "the points as a tree, for people at a terminal",
        render: terminal::render,
    },
    Renderer {
        name: "html",
        summary: "one page to read in a browser, without a network",
        render: html::render,
    },
    Renderer {
        name: "json",
        summary: "the report as JSON, for programs",
        render: json::render,
    },
    Renderer {
        name: "dot",
        summary: "a graph for Graphviz",
        render: dot::render,
    },
];

/// A format that a report can be written in.
///
/// Called by commands and by Python with a report of any size; writes as it goes, in pieces of some 64 KiB, and ends with the
/// first error of `out`. Sees nothing but the report and the options.
#[derive(Clone, Copy)]
pub struct Renderer {
    /// What the user calls it.
    pub name: &'static str,
    /// What it is good for, in a few words.
    pub summary: &'static str,
    /// Writes the report. JSON ends without a newline, as upstream's does; the others end with one.
    pub render: fn(&Report, &RenderOptions, &mut dyn io::Write) -> io::Result<()>,
}

/// How to show a report. What a format cannot use, it ignores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenderOptions {
    /// The width of a line in columns.
    pub width: usize,
    /// Whether text may be coloured.
    pub color: Color,
    /// How many levels of points are shown; all if `None`.
    pub depth: Option<usize>,
}

/// Whether text may be coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// With ANSI escape sequences.
    Ansi,
    /// Not at all.
    Never,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self {
            width: 100,
            color: Color::Never,
            depth: None,
        }
    }
}

impl Renderer {
    /// The renderer with that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        RENDERERS.iter().find(|renderer| renderer.name == name)
    }
}

impl std::fmt::Debug for Renderer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Renderer").field(&self.name).finish()
    }
}
