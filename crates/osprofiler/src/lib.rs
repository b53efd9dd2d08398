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
//! use std::collections::HashMap;
//!
//! use osprofiler::config::HmacKeys;
//! use osprofiler::driver::ConnectionStrings;
//! use osprofiler::headers::Caller;
//! use osprofiler::recorder::{Context, Origin};
//! use osprofiler::{Config, point};
//!
//! fn main() -> Result<(), osprofiler::Error> {
//!     let store = "sqlite:///var/tmp/traces.db";
//! # // A file of its own: others may run this test, too.
//! #   let folder = tempfile::tempdir().expect("a folder of its own");
//! #   let store = &format!("sqlite://{}", folder.path().join("traces.db").display());
//!     // Once, when the service starts. `None` means that tracing is off.
//!     let config = Config {
//!         enabled: true,
//!         project: Some("shop".to_owned()),
//!         service: Some("api".to_owned()),
//!         hmac_keys: HmacKeys::parse("SECRET"),
//!         connection_string: ConnectionStrings::parse(store)?,
//!         ..Config::default()
//!     };
//!     let origin = osprofiler::init(&config)?;
//!
//!     // What somebody sends who begins a trace. In a service the headers come with each request.
//!     let trace = origin.map_or(Context::none(), Context::new_trace);
//!     let signed = trace.signed_headers("SECRET");
//!     let headers = signed.iter().flat_map(|signed| signed.pairs()).collect();
//!     serve(&config, origin, &headers);
//!     if let Some(id) = trace.base_id() {
//!         println!("osprofiler trace show {id}");
//!     }
//! #   let counters = osprofiler::delivery::flush(std::time::Duration::from_secs(60));
//! #   assert_eq!((counters.recorded(), counters.stored()), (6, 6));
//!     // The end of the process waits for the store by itself.
//!     Ok(())
//! }
//!
//! fn serve(config: &Config, origin: Option<Origin>, headers: &HashMap<&str, &str>) {
//!     // Join the caller's trace, if the headers name one and are signed with one of our keys. Else nothing is traced.
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
//!         call("http://stock/", signed.pairs());
//!     }
//! }
//!
//! fn call(url: &str, headers: [(&str, &str); 2]) {
//!     println!("GET {url} {headers:?}");
//! }
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
