// SPDX-License-Identifier: Apache-2.0
//! PostgreSQL. The bare loop: for each batch one `COPY` of lines that are ready.

use std::io::Cursor;
use std::pin::pin;

use futures_util::SinkExt;
use osprofiler::Notifications;
use tokio_postgres::NoTls;

use super::rows::{COLUMNS, row};
use super::{Loop, Store, Upstream};
use crate::Outcome;

pub(super) const STORE: Store = Store {
    driver: "postgresql",
    floor_summary: "one COPY of ready lines a batch",
    floor,
    options: "&sslmode=disable",
    upstream: Upstream::alike,
    of_upstream: None,
    points: None,
};

/// So many bytes are handed to the server at once.
const PIECE_BYTES: usize = 256 << 10;

fn floor(store: &str, batches: &[Notifications]) -> Outcome<Loop> {
    let copies: Vec<Vec<Vec<u8>>> = batches.iter().map(pieces).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let client = runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(store, NoTls).await?;
        drop(tokio::spawn(connection));
        Ok::<_, tokio_postgres::Error>(client)
    })?;
    let statement = format!("COPY data ({COLUMNS}) FROM STDIN");
    Ok(Box::new(move || {
        runtime.block_on(async {
            for pieces in copies {
                let mut sink = pin!(client.copy_in(&statement).await?);
                for piece in pieces {
                    sink.send(Cursor::new(piece)).await?;
                }
                sink.finish().await?;
            }
            Ok(())
        })
    }))
}

/// The lines of a batch in `COPY`'s text format.
fn pieces(batch: &Notifications) -> Vec<Vec<u8>> {
    let mut pieces = vec![Vec::new()];
    for notification in batch.iter() {
        let columns = row(&notification).map(|text| match text {
            None => r"\N".to_owned(),
            Some(text) => text
                .replace('\\', r"\\")
                .replace('\n', r"\n")
                .replace('\r', r"\r")
                .replace('\t', r"\t"),
        });
        let line = columns.join("\t") + "\n";
        if pieces.last().is_none_or(|piece| piece.len() >= PIECE_BYTES) {
            pieces.push(Vec::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.extend_from_slice(line.as_bytes());
        }
    }
    pieces
}
