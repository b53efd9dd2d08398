// SPDX-License-Identifier: Apache-2.0
//! What it costs to look for secrets in the infos of recorded requests, beside copying them once.
//!
//! Infos come from `fixtures`; those in which a name of a secret occurs are a case of their own, since they are looked through.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use osprofiler::secrets;
use osprofiler::wire::{Line, Lines};

use crate::Outcome;

const ROUNDS: usize = 30;

/// Runs the comparison over the recorded traces in `fixtures` and returns its table as text.
pub(crate) fn run(fixtures: &Path) -> Outcome<String> {
    let (named, plain): (Vec<_>, Vec<_>) = infos(fixtures)?
        .into_iter()
        .partition(|info| secrets::is_secret_name(info));
    let mut out = format!(
        "{:<44} {:>8} {:>12} {:>12}\n",
        "case", "infos", "ns an info", "ns a byte"
    );
    for (name, infos, take) in [
        ("floor: a copy", &plain, copy as fn(&str)),
        ("infos without a name", &plain, mask),
        ("infos with one", &named, mask),
    ] {
        let bytes: usize = infos.iter().map(String::len).sum();
        let ns = best_ns(infos, take);
        let (an_info, a_byte) = (ns / infos.len() as f64, ns / bytes as f64);
        writeln!(
            out,
            "{name:<44} {:>8} {an_info:>12.1} {a_byte:>12.3}",
            infos.len()
        )?;
    }
    Ok(out)
}

fn copy(info: &str) {
    black_box(info.to_owned());
}

fn mask(info: &str) {
    black_box(secrets::masked_info(info));
}

/// The least time that all infos took.
fn best_ns(infos: &[String], take: fn(&str)) -> f64 {
    let round = |_| {
        let started = Instant::now();
        for info in infos {
            take(black_box(info));
        }
        started.elapsed().as_nanos() as f64
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

fn infos(fixtures: &Path) -> Outcome<Vec<String>> {
    let mut infos = Vec::new();
    for entry in std::fs::read_dir(fixtures)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "jsonl")
        {
            let text = std::fs::read(&path)?;
            let mut lines = Lines::new(&*text);
            while let Some(line) = lines.next_line()? {
                if let Line::Notification(parsed) = line {
                    infos.push(parsed.as_notification().info.to_owned());
                }
            }
        }
    }
    Ok(infos)
}
