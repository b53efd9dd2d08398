// SPDX-License-Identifier: Apache-2.0
//! The report as a graph for Graphviz: a node a point, an edge from each point to those below it.
//!
//! Nodes are numbered from top to bottom, and an edge follows the whole subtree of its lower end, as in upstream's output. A part
//! that a label would need and the trace does not have is left out. Texts of the trace stay inside their quotes.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

use osprofiler::wire::json;

use crate::renderer::RenderOptions;
use crate::report::{Point, Report};
use crate::walk::Step;

/// How much of a request's path a label shows, in characters.
const PATH_CHARACTERS: usize = 30;

/// Once this much is written it goes to the caller.
const PIECE_BYTES: usize = 64 * 1024;

/// Writes `report`.
pub(crate) fn render(
    report: &Report,
    _options: &RenderOptions,
    to: &mut dyn io::Write,
) -> io::Result<()> {
    let total_ms = report.duration_us() / 1000;
    let mut out = format!("digraph {{\n\t0 [label=\"total - {total_ms} ms\"]\n");
    let mut nodes = 0u64;
    let mut path = vec![0];
    for step in report.walk() {
        match step {
            Step::Enter(id) => {
                nodes += 1;
                path.push(nodes);
                let _infallible = write!(out, "\t{nodes} [label=\"");
                push_label(report.point(id), &mut out);
                out.push_str("\"]\n");
            }
            Step::Leave(_) => {
                let node = path.pop().unwrap_or_default();
                let above = path.last().copied().unwrap_or_default();
                let _infallible = writeln!(out, "\t{above} -> {node}");
            }
        }
        if out.len() >= PIECE_BYTES {
            to.write_all(out.as_bytes())?;
            out.clear();
        }
    }
    out.push_str("}\n");
    to.write_all(out.as_bytes())
}

/// `service:name - 3 ms`, and in a second line what tells points of that name apart.
fn push_label(point: Point<'_>, out: &mut String) {
    if let Some(service) = point.service() {
        push_quoted(service, out);
        out.push(':');
    }
    push_quoted(point.name(), out);
    let millis = point.finished_ms() - point.started_ms();
    let _infallible = write!(out, " - {millis} ms");
    let Some(info) = point.start().map(|start| start.info) else {
        return;
    };
    match point.name() {
        "wsgi" | "asgi" => {
            let request = json::member(info, "request").unwrap_or_default();
            if let (Some(method), Some(path)) = (text(request, "method"), text(request, "path")) {
                let path: String = path.chars().take(PATH_CHARACTERS).collect();
                out.push_str("\\n");
                push_quoted(&format!("{method} {path}.."), out);
            }
        }
        "rpc" | "driver" => {
            let function = json::member(info, "function").unwrap_or_default();
            if let Some(name) = text(function, "name") {
                out.push_str("\\n");
                push_quoted(name.rsplit('.').next().unwrap_or_default(), out);
            }
        }
        _ => {}
    }
}

/// The member `name` of the JSON object `object`, if it is a text.
fn text<'a>(object: &'a str, name: &str) -> Option<Cow<'a, str>> {
    json::member(object, name)
        .filter(|value| value.starts_with('"'))
        .map(json::unescape)
}

/// `text` within the quotes of a label, which it can neither end nor steer.
fn push_quoted(text: &str, out: &mut String) {
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if letter.is_control() => out.push(' '),
            letter => out.push(letter),
        }
    }
}
