// SPDX-License-Identifier: Apache-2.0
//! Trace points for services that share traces with OpenStack.
//!
//! A trace point costs nanoseconds: the [`recorder`] writes fixed records into memory of its thread and returns. One
//! background thread, [`delivery`], turns them into [`Notification`]s and hands these to a [`driver`], which writes them
//! to a store. Nothing that a store does can fail, block or slow the traced program: recorded = stored + kept in files + counted as lost.
//!
//! The modules stand in the order of that flow; below them are the values that all stages speak.
//!
//! ```
//! use osprofiler::headers::Caller;
//! use osprofiler::recorder::Context;
//! use osprofiler::{Config, delivery, driver::ConnectionStrings, point};
//! # let folder = tempfile::tempdir()?;
//! # let store = format!("file://{}", folder.path().join("traces.jsonl").display());
//! # use osprofiler::{Id, headers::{TRACE_INFO, pack}};
//! # let (base_id, parent_id) = (Id::from_u128(1), Id::from_u128(2));
//! # let signed = pack(base_id, parent_id, b"SECRET_KEY");
//! # let mut headers = std::collections::HashMap::from(signed.pairs());
//! # let mut calls = Vec::new();
//! # let mut call = |name, value: &str| calls.push((name, value.to_owned()));
//! // Once, when the service starts. `None` means that tracing is off.
//! let config = Config {
//!     enabled: true,
//!     project: Some("shop".to_owned()),
//!     service: Some("api".to_owned()),
//!     connection_string: ConnectionStrings::parse(&store)?, // sqlite:///var/lib/osprofiler/traces.db
//!     ..Config::default()
//! };
//! let origin = osprofiler::init(&config)?;
//!
//! // For each request: join the caller's trace, if its headers name one and are signed with one of our keys. Else nothing is traced.
//! {
//!     let header = |name: &str| headers.get(name).map(|value| value.as_bytes());
//!     let caller = Caller::from_headers(origin, &config.hmac_keys, header).unwrap_or_default();
//!     let _trace = caller.context.attach();
//!     let _request = point!("wsgi", {"request": {"method": "GET", "path": "/orders"}});
//!     {
//!         let _query = point!("db", {"db": {"statement": "SELECT 1"}});
//!     }
//!     let _call = point!("http", {"http": {"method": "GET", "url": "http://stock/"}});
//!     // The service that is called joins in turn.
//!     if let Some(signed) = Context::capture().signed_headers(caller.key) {
//!         for (name, value) in signed.pairs() {
//!             call(name, value);
//!         }
//!     }
//! }
//! # assert!(calls[0].0 == TRACE_INFO && calls[0].1 != headers[TRACE_INFO]);
//!
//! // The end of the process waits for the store by itself; whoever wants to know earlier asks.
//! let counters = delivery::flush(std::time::Duration::from_secs(5));
//! assert_eq!((counters.recorded(), counters.lost()), (counters.stored(), 0));
//! # assert_eq!(counters.stored(), 6);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod recorder;

pub mod delivery;

pub mod driver;

pub mod config;
mod error;
pub mod headers;
mod id;
mod notification;
mod secret_hash;
pub mod secrets;
pub mod shown;
mod timestamp;
pub mod trace_context;
pub mod wire;

pub use config::{Config, init};
pub use error::{Error, ErrorKind, Result};
pub use id::{Id, InvalidId};
pub use notification::{Kind, Loss, LossReason, Notification, Notifications, TextNumber};
pub use timestamp::Timestamp;
