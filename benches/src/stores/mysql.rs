// SPDX-License-Identifier: Apache-2.0
//! MySQL's protocol. The bare loop: for each batch a transaction of prepared inserts of many rows, whose values are ready.

use mysql::prelude::Queryable;
use mysql::{Conn, Opts, Params, Value};
use osprofiler::Notifications;

use super::rows::{COLUMNS, WIDTH, row};
use super::{Loop, Store, Upstream};
use crate::Outcome;

pub(super) const STORE: Store = Store {
    driver: "mysql",
    floor_summary: "prepared inserts of ready rows, one transaction a batch",
    floor,
    options: "",
    upstream,
    of_upstream: None,
    points: None,
};

/// So many rows an insert: what was quickest here.
const ROWS: usize = 1_000;

fn floor(store: &str, batches: &[Notifications]) -> Outcome<Loop> {
    let values: Vec<Vec<Vec<Value>>> = batches.iter().map(inserts).collect();
    let mut client = Conn::new(Opts::from_url(store)?)?;
    Ok(Box::new(move || {
        for inserts in values {
            client.query_drop("START TRANSACTION")?;
            let mut prepared = None;
            for values in inserts {
                let rows = values.len() / WIDTH;
                let statement = match prepared.take() {
                    Some((of, statement)) if of == rows => statement,
                    _ => client.prep(insert(rows))?,
                };
                client.exec_drop(&statement, Params::Positional(values))?;
                prepared = Some((rows, statement));
            }
            client.query_drop("COMMIT")?;
        }
        Ok(())
    }))
}

/// The values of a batch, those of an insert together.
fn inserts(batch: &Notifications) -> Vec<Vec<Value>> {
    let values: Vec<Value> = batch
        .iter()
        .flat_map(|notification| row(&notification).map(Value::from))
        .collect();
    values.chunks(ROWS * WIDTH).map(<[_]>::to_vec).collect()
}

fn insert(rows: usize) -> String {
    let row = format!("({}?)", "?, ".repeat(WIDTH - 1));
    format!(
        "INSERT INTO data ({COLUMNS}) VALUES {}",
        vec![&*row; rows].join(", ")
    )
}

/// SQLAlchemy takes another client for `mysql://`.
fn upstream(store: &str) -> Upstream {
    Upstream {
        connection_string: store.replacen("mysql://", "mysql+pymysql://", 1),
        ..Upstream::alike(store)
    }
}
