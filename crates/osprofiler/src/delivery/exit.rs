// SPDX-License-Identifier: Apache-2.0
//! The end of the process: a last flush with a deadline, from a C exit handler or from whoever is about to go round those.
//!
//! The handler runs after `main`, after `exit()` in any thread, after a signal handler that calls it, and after an interpreter has
//! gone. The end touches atomics and waits; the background thread writes, and says on stderr what no logger was there to say.
//! Nothing is joined: a store that hangs costs the deadline, once.

#![expect(
    unsafe_code,
    reason = "registering a handler and writing without a lock have no safe form"
)]

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::bounds::Bounds;
use super::messages::{Severity, log_all};
use super::process::{self, TABLE, TALLIES_BY_STORE, TALLY};
use super::thread;
use crate::{Loss, LossReason, recorder};

/// How long the end of the process waits for the stores, unless told otherwise.
pub const EXIT_DEADLINE: Duration = Duration::from_secs(2);

/// Of that, the part in which what other processes have left in files is sent: a quarter. It is enough for what a short program before this
/// one left, and nobody waits at each end for an outage's worth of files that are not its own.
const OTHERS_PART: u32 = 4;

static DEADLINE_MS: AtomicU64 = AtomicU64::new(EXIT_DEADLINE.as_millis() as u64);
static BEGUN: AtomicBool = AtomicBool::new(false);
/// Somebody counts what is lost: of several ends at once, one does.
static COUNTING: AtomicBool = AtomicBool::new(false);

/// Sets how long the end of this process, and of those forked from it later, waits for the stores. [`EXIT_DEADLINE`] without this.
pub fn set_exit_deadline(deadline: Duration) {
    let ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
    DEADLINE_MS.store(ms, SeqCst);
}

/// How long an ending process begins to send files of others.
pub(super) fn time_for_others() -> Duration {
    deadline() / OTHERS_PART
}

fn deadline() -> Duration {
    Duration::from_millis(DEADLINE_MS.load(SeqCst))
}

/// Registers the handler, once. A forked child inherits it.
pub(super) fn install() {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    if INSTALLED.swap(true, SeqCst) {
        return;
    }
    // SAFETY: the handler is a function of this library that never unwinds.
    unsafe { libc::atexit(at_exit) };
}

/// Whether the process is ending.
pub(super) fn has_begun() -> bool {
    BEGUN.load(SeqCst)
}

/// A forked child lives, even if its parent was about to end. Atomics only.
pub(super) fn forget() {
    BEGUN.store(false, SeqCst);
    COUNTING.store(false, SeqCst);
}

extern "C" fn at_exit() {
    end();
}

/// Ends this process's delivery: what was recorded before is stored, or, if the stores do not take it within [`EXIT_DEADLINE`]
/// (see [`set_exit_deadline`]), left in files for a later process where there is a folder for them ([`Bounds`](super::Bounds)), or
/// counted as lost and told on stderr; then the stores are closed. Files that other processes left are sent for a quarter of that time
/// at most; a later process sends the rest.
///
/// A process that runs C's exit handlers needs no call. It is for one that is about to end without them, by `_exit` for instance, as
/// forked workers do. May be called by any thread and in a signal handler. Returns at once if nothing was recorded, and where
/// delivery has ended; what is recorded after it is not stored.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("trace.jsonl");
/// use osprofiler::delivery;
/// use osprofiler::driver::ConnectionString;
/// use osprofiler::point;
/// use osprofiler::recorder::Context;
///
/// let connection = ConnectionString::parse(&format!("file://{}", path.display()))?;
/// let origin = delivery::attach(Some("shop"), Some("worker"), "host-1", &connection)?;
/// let trace = Context::new_trace(origin).attach();
/// drop(point!("job"));
/// drop(trace);
/// delivery::end();
/// // Here the worker calls `_exit`.
/// assert_eq!(delivery::counters().stored(), 2);
/// # Ok::<(), osprofiler::Error>(())
/// ```
pub fn end() {
    recorder::generation();
    // Without a thread nothing was recorded, or it could not be started, or it has done its last; or its own driver ends the process.
    if !thread::is_running() || thread::is_current() {
        return;
    }
    let deadline = deadline();
    // In this order: a flush that answers the ticket has seen that the end has begun, and closes the stores. Should one that was asked for
    // earlier have seen it too, and be the last, then the thread has ended, and what was recorded before this call is settled.
    BEGUN.store(true, SeqCst);
    let ticket = thread::ask_for_flush();
    thread::await_flush(ticket, Instant::now() + deadline);
    if COUNTING.swap(true, SeqCst) {
        return;
    }
    count_as_lost(deadline);
    COUNTING.store(false, SeqCst);
}

/// Counts what still waits as lost and says so, for each store where it waits. Takes no lock and allocates nothing.
fn count_as_lost(deadline: Duration) {
    let reason = LossReason::Exit;
    let counters = process::counters();
    if counters.spooled() > 0 {
        say_on_stderr(format_args!(
            "{} trace notifications are in files: the next process with the same `connection_string` and `spool_folder` sends them",
            counters.spooled(),
        ));
    }
    let mut count = counters.waiting();
    TALLY.add_loss(Loss { count, reason });
    let deadline = deadline.as_millis();
    if thread::is_running() {
        let advice = match Bounds::get().spool_folder {
            Some(_) => "",
            None => " (with a `spool_folder`, what waits is kept in files and sent later)",
        };
        let is_only = TABLE.store(1).is_none();
        for (number, tally) in TALLIES_BY_STORE.iter().enumerate() {
            let Some(store) = TABLE.store(number) else {
                break;
            };
            let waiting = tally.counters(|| 0).waiting();
            tally.add_loss(Loss {
                count: waiting,
                reason,
            });
            // What no queue has yet is on its way to the only store there is.
            let told = if is_only { count } else { waiting.min(count) };
            count -= told;
            if told > 0 {
                say_on_stderr(format_args!(
                    "{told} trace notifications are lost: `{store}` did not take them within {deadline} ms of the process's end{advice}",
                ));
            }
        }
    }
    if count > 0 {
        say_on_stderr(format_args!(
            "{count} trace notifications are lost: they were recorded too late to come as far as a store before the process's end",
        ));
    }
}

/// On the background thread, once all is settled: says what nobody has taken.
pub(super) fn say_farewell() {
    let messages = process::take_messages();
    if log::max_level() != log::LevelFilter::Off {
        log_all(messages);
        return;
    }
    for message in messages {
        if message.severity > Severity::Info {
            say_on_stderr(format_args!("{message}"));
        }
    }
}

/// One line in one write, without a lock or an allocation: the thread that ends the process may hold any.
fn say_on_stderr(text: std::fmt::Arguments<'_>) {
    let mut line = [0u8; 1024];
    let mut rest = &mut line[..];
    // A line that is too long is cut.
    let _ = write!(rest, "osprofiler: {text}");
    let left = rest.len();
    let length = (line.len() - left).min(line.len() - 1);
    line[length] = b'\n';
    // SAFETY: the buffer is live and that long; a closed stderr is an error that nobody needs to hear of.
    unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), length + 1) };
}
