// SPDX-License-Identifier: Apache-2.0
//! What any thread may ask of this process's delivery: attach an origin to a store, hand something in, flush, read the
//! counters and the messages.
//!
//! Whatever a fork must not inherit hangs on one pointer, which the child sets to null: its parent's locks may be held by
//! threads that the child does not have. What a child goes on using is atomics.

#![expect(unsafe_code, reason = "an atomic pointer to what is never freed")]

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::counters::{Counters, Tally};
use super::ledger::Ledger;
use super::messages::{self, Message, Messages, Severity};
use super::table::{STORES, Store, Table};
use super::{clocksource, exit, fork, published, thread};
use crate::driver::registry::{self, Capability};
use crate::driver::{ConnectionString, ConnectionStrings, Writer};
use crate::recorder::{self, Origin, clock};
use crate::{Error, ErrorKind, Loss, LossReason, Notification, Notifications, Result};

/// What [`submit`] keeps at most, in bytes.
const INBOX_BYTES: usize = 8 << 20;
/// The most text that one submitted notification may bring. Every driver can store as much, and read it back; one that is
/// larger would take its whole batch with it.
const SUBMITTED_BYTES: usize = 1 << 20;

/// A wait that nobody sees the end of, where the time wanted is longer than the clock counts.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

pub(super) static TABLE: Table = Table::new();
pub(super) static TALLY: Tally = Tally::new();
/// By number of store.
pub(super) static TALLIES_BY_STORE: [Tally; STORES] = [const { Tally::new() }; STORES];
/// Apart from them, so that a traced caller looks at one word.
static MESSAGES_WAIT: AtomicBool = AtomicBool::new(false);
/// The stores whose traces go on in services with OpenTelemetry, a bit each. Holds in forked children, too: so do the stores.
static TRACES_GO_ON: AtomicU64 = AtomicU64::new(0);
static PROCESS: AtomicPtr<Process> = AtomicPtr::new(ptr::null_mut());

/// What belongs to one process: made when it is first needed, never freed, left behind by a forked child.
pub(super) struct Process {
    pub(super) messages: Messages,
    inbox: Mutex<Inbox>,
}

/// Ready-made notifications on their way to the background thread.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) notifications: Notifications,
    /// Each one's origin, and the ticks at which it came.
    pub(super) origins: Vec<(Origin, u64)>,
    /// What found no room; counted already, for the stores to know.
    pub(super) losses: Ledger,
}

impl Inbox {
    /// Why the notification cannot come in, if it can't.
    fn refusal(&self, notification: &Notification<'_>) -> Option<LossReason> {
        if notification.text_bytes() > SUBMITTED_BYTES {
            Some(LossReason::Refused)
        } else if self.notifications.size_bytes() >= INBOX_BYTES {
            Some(LossReason::MemoryFull)
        } else {
            None
        }
    }
}

impl Process {
    /// This process's. Takes no lock.
    pub(super) fn get() -> &'static Self {
        if let Some(process) = Self::existing() {
            return process;
        }
        let made = Box::into_raw(Box::new(Self {
            messages: Messages::new(&MESSAGES_WAIT),
            inbox: Mutex::default(),
        }));
        let exchanged =
            PROCESS.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire);
        if exchanged.is_err() {
            // SAFETY: the exchange failed, so `made` is still this thread's alone.
            drop(unsafe { Box::from_raw(made) });
        }
        Self::get()
    }

    fn existing() -> Option<&'static Self> {
        // SAFETY: the pointer is null or came from `Box::into_raw` by a release operation, and is never freed.
        unsafe { PROCESS.load(Ordering::Acquire).as_ref() }
    }

    /// Leaves it behind. Atomics only: a forked child calls this.
    pub(super) fn forget() {
        PROCESS.store(ptr::null_mut(), Ordering::Release);
        MESSAGES_WAIT.store(false, Ordering::Relaxed);
    }

    /// All that was handed in since the last call.
    pub(super) fn take_inbox(&self) -> Inbox {
        std::mem::take(&mut self.inbox())
    }

    /// Whether nothing was handed in since then.
    pub(super) fn has_empty_inbox(&self) -> bool {
        let inbox = self.inbox();
        inbox.origins.is_empty() && inbox.losses.is_empty()
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // A panic under the lock can at worst leave a notification without its origin, which `take` then leaves out.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends what `project`'s `service` on `host` records to the store of `connection`, and returns who that is to the
/// recorder. Opens nothing and starts no thread: the first event does. An origin may be attached to several stores; a second call with the
/// same arguments changes nothing. What was attached before a fork holds in the child.
///
/// # Errors
/// [`ErrorKind::Usage`] if there is no driver for the connection string, or an option there cannot be, or the process has too many
/// origins (4,096) or stores (64) already.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("trace.jsonl");
/// use osprofiler::delivery;
/// use osprofiler::driver::ConnectionString;
///
/// let connection = ConnectionString::parse(&format!("file://{}", path.display()))?;
/// let origin = delivery::attach(Some("shop"), Some("api"), "host-1", &connection)?;
/// assert_eq!(origin.details().service, Some("api"));
/// # Ok::<(), osprofiler::Error>(())
/// ```
pub fn attach(
    project: Option<&str>,
    service: Option<&str>,
    host: &str,
    connection: &ConnectionString,
) -> Result<Origin> {
    let store = known_store(connection)?;
    attach_stores(project, service, host, vec![store], Apart::No)
}

/// Like [`attach`], to each store of a list. One that no driver serves, that has an option which cannot be, or that is no connection
/// string, is told in a message; the others get everything, each from a queue of its own.
///
/// # Errors
/// If none can be attached: why the first can't.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// use osprofiler::delivery;
/// use osprofiler::driver::ConnectionStrings;
///
/// # let (a, b) = (folder.path().join("a"), folder.path().join("b"));
/// let both = format!("file://{}, file://{}", a.display(), b.display());
/// delivery::attach_each(Some("shop"), Some("api"), "host-1", &ConnectionStrings::parse(&both)?)?;
/// # Ok::<(), osprofiler::Error>(())
/// ```
pub fn attach_each(
    project: Option<&str>,
    service: Option<&str>,
    host: &str,
    connections: &ConnectionStrings,
) -> Result<Origin> {
    let mut origin = None;
    let mut refused = connections.refused().to_vec();
    let mut first_error = None;
    for connection in connections.iter() {
        match attach(project, service, host, connection) {
            Ok(attached) => origin = Some(attached),
            Err(error) => {
                refused.push(format!("`{connection}`: {}", error.text_with_help()));
                first_error.get_or_insert(error);
            }
        }
    }
    match (origin, first_error) {
        (None, Some(error)) => Err(error),
        (None, None) => unreachable!("a list has at least one connection string"),
        (Some(origin), _) => {
            for why in refused {
                let text = format!("trace notifications do not go to one of the stores: {why}");
                say(Severity::Error, text);
            }
            Ok(origin)
        }
    }
}

/// Like [`attach`], but what is recorded goes to those stores alone: there is an origin for each set of stores, with equal
/// details.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// use osprofiler::delivery;
/// use osprofiler::driver::ConnectionString;
///
/// let store = |name| ConnectionString::parse(&format!("file://{}/{name}", folder.path().display()));
/// let (one, other) = (store("one")?, store("other")?);
/// let alone = delivery::attach_alone(Some("shop"), Some("api"), "host-1", &[one.clone()])?;
/// let both = delivery::attach_alone(Some("shop"), Some("api"), "host-1", &[one, other])?;
/// assert_ne!(alone, both);
/// # Ok::<(), osprofiler::Error>(())
/// ```
pub fn attach_alone(
    project: Option<&str>,
    service: Option<&str>,
    host: &str,
    connections: &[ConnectionString],
) -> Result<Origin> {
    let stores = connections.iter().map(known_store);
    let stores = stores.collect::<Result<Vec<_>>>()?;
    if stores.is_empty() {
        return Err(Error::new(ErrorKind::Usage, "there is no store to attach"));
    }
    attach_stores(project, service, host, stores, Apart::ByStores)
}

fn known_store(connection: &ConnectionString) -> Result<Store> {
    let capabilities = registry::capabilities(connection)?;
    // A writer opens nothing before it writes. What will never do is told to whoever configures it, not with the first notification.
    if let Err(error) = registry::open_writer(connection)
        && !error.is_temporary()
    {
        return Err(error);
    }
    if !capabilities.contains(&Capability::SurvivesFork) {
        fork::beware();
    }
    Ok(Store::Connection(connection.clone()))
}

/// Whether the origin's traces go to a store from which they go on in services with OpenTelemetry: then calls that a trace makes carry the
/// header [`traceparent`](crate::trace_context::TRACEPARENT), too. Two loads.
pub fn traces_go_on(origin: Origin) -> bool {
    TABLE.has_store_of(origin.number(), TRACES_GO_ON.load(Ordering::Relaxed))
}

/// Like [`attach`], with a driver that the program brings: `open` is called on the background thread when the first event comes,
/// after a fork, and after a panic of what it returned before. `name` stands for the store in messages; an origin is attached to
/// one store of a name once.
pub fn attach_own(
    project: Option<&str>,
    service: Option<&str>,
    host: &str,
    name: &str,
    open: impl Fn() -> Result<Box<dyn Writer>> + Send + Sync + 'static,
) -> Result<Origin> {
    let (name, open) = (name.to_owned(), Box::new(open));
    let store = Store::Own { name, open };
    attach_stores(project, service, host, vec![store], Apart::No)
}

/// Which origins with equal details are one.
#[derive(Clone, Copy)]
enum Apart {
    No,
    ByStores,
}

fn attach_stores(
    project: Option<&str>,
    service: Option<&str>,
    host: &str,
    stores: Vec<Store>,
    apart: Apart,
) -> Result<Origin> {
    recorder::generation();
    clocksource::decide();
    let mut numbers = 0;
    for store in stores {
        let goes_on = store.can(Capability::TraceContext);
        let number = 1 << TABLE.number_of(store)?;
        if goes_on {
            TRACES_GO_ON.fetch_or(number, Ordering::Relaxed);
        }
        numbers |= number;
    }
    let apart = match apart {
        Apart::No => 0,
        Apart::ByStores => numbers,
    };
    let origin = Origin::register_apart(project, service, host, apart).ok_or_else(|| {
        Error::new(
            ErrorKind::Usage,
            "this process has too many different projects, services and hosts",
        )
    })?;
    TABLE.attach(origin.number(), numbers);
    fork::install();
    exit::install();
    published::note_environment();
    recorder::set_waker(thread::wake);
    Ok(origin)
}

/// Hands in a notification that somebody else made. Its project and service are the origin's if it has none; its info is
/// stored as it is. A lock and a copy, for what is rare. One of more than 1 MiB is counted as lost, and so are further ones
/// while 8 MiB are on their way.
pub fn submit(origin: Origin, notification: &Notification<'_>) {
    recorder::generation();
    let mut inbox = Process::get().inbox();
    TALLY.add_beside(1);
    if let Some(reason) = inbox.refusal(notification) {
        let loss = Loss { count: 1, reason };
        TALLY.add_loss(loss);
        inbox.losses.add(Some(notification.base_id), loss);
    } else {
        inbox.notifications.push(notification);
        inbox.origins.push((origin, clock::ticks()));
    }
    drop(inbox);
    recorder::end_idleness();
}

/// Waits until everything recorded before this call is stored, in files, or lost, at most for `deadline`, and returns the
/// [`counters`]. A store that failed before is tried at once. Returns without waiting if nothing was recorded.
pub fn flush(deadline: Duration) -> Counters {
    if counters().waiting() > 0 {
        thread::wake();
    }
    if thread::is_running() && !thread::is_current() {
        let now = Instant::now();
        let deadline = now.checked_add(deadline).unwrap_or(now + FOR_EVER);
        thread::await_flush(thread::ask_for_flush(), deadline);
    }
    counters()
}

/// What became of this process's notifications so far. Some atomic loads.
pub fn counters() -> Counters {
    recorder::generation();
    TALLY.counters(recorder::recorded)
}

/// What became of the notifications for each store that this process was attached to, by the store's name without its
/// password. A notification is counted once it is on its way to the store.
pub fn counters_by_store() -> Vec<(String, Counters)> {
    recorder::generation();
    let names = (0..STORES).map_while(|number| TABLE.store(number).map(ToString::to_string));
    let counters = TALLIES_BY_STORE.iter().map(|tally| tally.counters(|| 0));
    names.zip(counters).collect()
}

/// Whether [`take_messages`] has any to give. One load.
pub fn has_messages() -> bool {
    recorder::generation();
    MESSAGES_WAIT.load(Ordering::Relaxed)
}

/// What delivery has to say since the last call, oldest first; whoever takes it logs it. One load if there is nothing.
pub fn take_messages() -> Vec<Message> {
    recorder::generation();
    Process::existing().map_or_else(Vec::new, |process| process.messages.take())
}

/// Logs what delivery has to say, if the program has a logger of the crate `log`. For the recorder, where a thread leaves
/// its trace: one load if there is nothing.
#[inline]
pub(crate) fn log_waiting_messages() {
    if MESSAGES_WAIT.load(Ordering::Relaxed) {
        log_messages();
    }
}

#[cold]
#[inline(never)]
fn log_messages() {
    if log::max_level() != log::LevelFilter::Off && !std::thread::panicking() {
        messages::log_all(take_messages());
    }
}

/// Adds a message of this process, for whoever calls [`take_messages`] next.
pub fn say(severity: Severity, text: String) {
    Process::get().messages.push(severity, text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Id, Timestamp};

    #[test]
    fn what_comes_in_is_bounded() {
        let mut inbox = Inbox::default();
        let info = "x".repeat(SUBMITTED_BYTES - 100);
        let mut taken = 0;
        let refused = loop {
            let info = format!("{taken}{info}");
            let notification = Notification {
                name: "db-start",
                base_id: Id::from_u128(1),
                trace_id: Id::from_u128(2),
                parent_id: Id::from_u128(1),
                timestamp: Timestamp::default(),
                info: &info,
                project: None,
                service: None,
            };
            if let Some(reason) = inbox.refusal(&notification) {
                break reason;
            }
            inbox.notifications.push(&notification);
            taken += 1;
        };
        assert_eq!((taken, refused), (9, LossReason::MemoryFull));
    }
}
