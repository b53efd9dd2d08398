// SPDX-License-Identifier: Apache-2.0
//! Drawing a graph with Graphviz's program `dot`, for `--render-dot`.

use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

use crate::Failure;

/// Draws `graph` into the file `NAME.pdf`, replacing it.
pub(crate) fn draw(graph: &[u8], name: &str) -> Result<(), Failure> {
    let fails = |why: &str| Failure::failed(format!("cannot draw `{name}.pdf`: {why}"));
    let spawned = Command::new("dot")
        .args(["-Tpdf", "-o", &format!("{name}.pdf")])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn();
    let mut dot = match spawned {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(fails("there is no program `dot`")
                .with_help("install Graphviz, or draw what `--dot` writes somewhere else"));
        }
        spawned => spawned.map_err(|error| Failure::io("cannot run `dot`", &error))?,
    };
    // Beside reading its stderr, or each would wait for the other. A `dot` that stops reading says why there.
    let stdin = dot.stdin.take();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(graph)));
        dot.wait_with_output()
    });
    let output = output.map_err(|error| Failure::io("cannot wait for `dot`", &error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(fails(String::from_utf8_lossy(&output.stderr).trim()))
}
