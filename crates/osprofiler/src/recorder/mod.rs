// SPDX-License-Identifier: Apache-2.0
//! Trace points, context, clock, ids, info: what runs on the traced thread.
//!
//! A point writes two fixed records, its start and its stop, into memory of its thread and returns; a [`Sweeper`], owned by
//! delivery, reads what all threads have published. Nothing here opens a file or a socket, waits, or formats a text that
//! a record could carry as a number. Off means: one thread-local load and a branch.
//!
//! ```text
//!   point!, start!  ->  context  ->  thread: its lane  ->  pool of chunks  ->  Sweeper  ->  Event
//!   record (foreign code, explicit ids) ---^      names, shapes and origins by number
//! ```
//!
//! The modules stand in the order of that flow.
//!
//! ```
//! use osprofiler::recorder::{Context, Origin, Sweeper};
//! use osprofiler::point;
//!
//! # fn run_query(_: &str) -> u64 { 3 }
//! let origin = Origin::register(Some("shop"), Some("api"), "host-1").unwrap();
//! let trace = Context::new_trace(origin).attach();
//! {
//!     let sql = "select 1";
//!     let point = point!("db", {"db": {"statement": sql}});
//!     let rows = run_query(sql);
//!     osprofiler::stop!(point, {"db": {"rows": rows}});
//! }
//! drop(trace);
//!
//! let mut infos = Vec::new();
//! Sweeper::new().sweep(&mut |event| {
//!     let mut info = String::new();
//!     event.info.push_json(event.origin.details().host, &mut info);
//!     infos.push(info);
//! });
//! assert_eq!(infos, [
//!     r#"{"db": {"statement": "select 1"}, "host": "host-1"}"#,
//!     r#"{"db": {"rows": 3}, "host": "host-1"}"#,
//! ]);
//! ```

mod macros;
#[expect(
    unsafe_code,
    reason = "a guard's fields are valid only where its point is on"
)]
#[expect(
    clippy::inline_always,
    reason = "the hot path is laid out by hand, measured in benches/"
)]
mod point;

#[expect(
    unsafe_code,
    reason = "texts are counted without a destructor; the points closed early lie in the thread's state"
)]
#[expect(
    clippy::inline_always,
    reason = "the hot path is laid out by hand, measured in benches/"
)]
mod open;

#[expect(
    unsafe_code,
    reason = "the texts of a thread's context are counted without a destructor"
)]
mod context;
#[expect(unsafe_code, reason = "pins are projected without a macro crate")]
mod future;

mod foreign;
#[expect(unsafe_code, reason = "writes into the pool's slots")]
#[expect(
    clippy::inline_always,
    reason = "the hot path is laid out by hand, measured in benches/"
)]
mod thread;

#[expect(
    unsafe_code,
    reason = "reads the time-stamp counter and the system's clock"
)]
pub mod clock;
#[expect(unsafe_code, reason = "seeds from the operating system")]
#[expect(
    clippy::inline_always,
    reason = "the hot path is laid out by hand, measured in benches/"
)]
mod ids;
mod info;
#[expect(
    unsafe_code,
    reason = "the table's entries are leaked and shared by pointer"
)]
mod names;
#[expect(
    unsafe_code,
    reason = "the table's entries are leaked and shared by pointer"
)]
mod origin;
#[expect(unsafe_code, reason = "copies values into the pool's slots")]
#[expect(
    clippy::inline_always,
    reason = "the hot path is laid out by hand, measured in benches/"
)]
mod plain;
#[expect(unsafe_code, reason = "copies values into the pool's slots")]
#[expect(
    clippy::inline_always,
    reason = "the hot path is laid out by hand, measured in benches/"
)]
mod value;

#[expect(unsafe_code, reason = "has the kernel zero a page in children")]
#[expect(
    clippy::inline_always,
    reason = "the hot path is laid out by hand, measured in benches/"
)]
mod generation;
#[expect(unsafe_code, reason = "a flag guards the table")]
mod losses;
#[expect(unsafe_code, reason = "maps the pool, and shares it by pointer")]
mod pool;
mod record;
#[expect(unsafe_code, reason = "a function pointer is kept in an atomic")]
mod signal;

#[expect(unsafe_code, reason = "reads the pool's published slots")]
mod sweep;

pub use context::{Attached, Context};
pub use foreign::{InfoSource, PointName, record};
pub use future::{InContext, InPoint, Traced};
pub use generation::{after_fork_in_child, generation};
pub use ids::new_id;
pub use info::Info;
pub use losses::take_losses;
pub use names::{Name, Part, Site, Wording};
pub use origin::{Origin, OriginDetails};
pub use point::{OpenPoint, Point, is_on};
pub use signal::{announce_idle, set_waker};
pub(crate) use signal::{end_idleness, nobody_delivers};
pub use sweep::{Event, Sweeper, Swept, recorded};
pub use value::{Debugged, Displayed, Members, Value, Values, debug, display, members};
