// SPDX-License-Identifier: Apache-2.0
//! `fill ID FROM TO`: copies a trace from one store into another, in batches as delivery writes them.
//!
//! Preparation for the benches of reading: how long it takes is not measured.

use std::error::Error;

use osprofiler::driver::{ConnectionString, registry};
use osprofiler::{Id, Notifications};

/// What a busy service hands over in 100 ms.
const BATCH: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [id, from, to] = arguments.as_slice() else {
        return Err("usage: fill ID FROM TO".into());
    };
    let mut trace = Notifications::default();
    registry::open_reader(&ConnectionString::parse(from)?)?.read(Id::parse(id)?, &mut trace)?;
    let mut writer = registry::open_writer(&ConnectionString::parse(to)?)?;
    let mut batch = Notifications::default();
    for notification in trace.iter() {
        batch.push(&notification);
        if batch.len() == BATCH {
            writer.write(&batch)?;
            batch.clear();
        }
    }
    if !batch.is_empty() {
        writer.write(&batch)?;
    }
    Ok(())
}
