// SPDX-License-Identifier: Apache-2.0
//! MongoDB. The bare loop: unordered inserts of documents that are ready.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::{Client, Collection};
use osprofiler::driver::ConnectionString;
use osprofiler::{Notification, Notifications};
use serde_json::Value;

use super::{Loop, Store, Upstream};
use crate::Outcome;

pub(super) const STORE: Store = Store {
    driver: "mongodb",
    floor_summary: "unordered inserts of 2,000 ready documents",
    floor,
    options: "",
    upstream,
    of_upstream: None,
    points: None,
};

/// As our driver's inserts.
const INSERT_LEN: usize = 2_000;

fn floor(store: &str, batches: &[Notifications]) -> Outcome<Loop> {
    let mut inserts = Vec::new();
    for batch in batches {
        let documents = batch.iter().map(|notification| document(&notification));
        let documents: Vec<_> = documents.collect::<Outcome<_>>()?;
        inserts.extend(documents.chunks(INSERT_LEN).map(<[_]>::to_vec));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let connection = ConnectionString::parse(store)?;
    let database = connection.option("database").unwrap_or("osprofiler");
    let (address, _) = store.split_once('?').unwrap_or((store, ""));
    let collection: Collection<RawDocumentBuf> = runtime.block_on(async {
        let client = Client::with_uri_str(address).await?;
        let database = client.database(database);
        // It connects when it is first asked something.
        database.run_command(doc! { "ping": 1 }).await?;
        mongodb::error::Result::Ok(database.collection("profiler"))
    })?;
    Ok(Box::new(move || {
        runtime.block_on(async {
            for documents in &inserts {
                collection.insert_many(documents).ordered(false).await?;
            }
            Ok(())
        })
    }))
}

fn document(notification: &Notification<'_>) -> Outcome<RawDocumentBuf> {
    let text = |text: Option<&str>| text.map_or(Bson::Null, |text| Bson::String(text.to_owned()));
    let mut document = Document::new();
    document.insert("_id", ObjectId::new());
    document.insert("name", notification.name);
    document.insert("base_id", notification.base_id.to_string());
    document.insert("trace_id", notification.trace_id.to_string());
    document.insert("parent_id", notification.parent_id.to_string());
    document.insert("timestamp", notification.timestamp.to_string());
    document.insert("info", bson(serde_json::from_str(notification.info)?));
    document.insert("project", text(notification.project));
    document.insert("service", text(notification.service));
    Ok(RawDocumentBuf::try_from(&document)?)
}

fn bson(value: Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(value) => Bson::Boolean(value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Bson::Int64(whole),
            None => Bson::Double(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Bson::String(text),
        Value::Array(values) => Bson::Array(values.into_iter().map(bson).collect()),
        Value::Object(members) => {
            let members = members.into_iter().map(|(key, value)| (key, bson(value)));
            Bson::Document(members.collect())
        }
    }
}

/// The database `osprofiler`: upstream knows no other.
fn upstream(store: &str) -> Upstream {
    let (address, _) = store.split_once('?').unwrap_or((store, ""));
    Upstream::alike(address)
}
