// SPDX-License-Identifier: Apache-2.0
//! A traced program that does what its standard input says, a line at a time, and answers each with a line: what the
//! tests of whole processes start, feed, kill and look at.
//!
//! `traced-program CONNECTION` records into that store or the stores of a list, `traced-program own:MOOD` into a driver of its own, whose
//! moods are listed below.

#![expect(
    unsafe_code,
    reason = "it forks and handles signals as no safe program can"
)]

use std::io::{BufRead, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use osprofiler::delivery::{self, Counters};
use osprofiler::driver::{ConnectionStrings, Writer};
use osprofiler::recorder::{Context, Origin};
use osprofiler::{
    Error, ErrorKind, Id, Loss, Notification, Notifications, Result, Timestamp, point,
};

/// Longer than any test waits for anything that is going to happen.
const LONG: Duration = Duration::from_mins(1);

/// The gate at which the driver of `own:gate` waits; it counts how often it was opened.
static GATE: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
/// Calls to `write` that have begun.
static CALLS: AtomicU64 = AtomicU64::new(0);
static TAKEN: AtomicU64 = AtomicU64::new(0);
/// What the driver was told to be lost.
static TOLD: AtomicU64 = AtomicU64::new(0);

#[expect(clippy::too_many_lines, reason = "one arm a command")]
fn main() {
    let store = std::env::args().nth(1).unwrap_or_default();
    let origin = attach(&store).unwrap_or_else(|error| panic!("{error}"));
    // How long a busy machine's disk takes is not what is tried here.
    delivery::set_exit_deadline(LONG);
    delivery::set_fork_deadline(LONG);
    let mut trace = Some(Context::new_trace(origin).attach());
    let mut next = 0;
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap_or_default();
        let words: Vec<&str> = line.split(' ').collect();
        let number = |place: usize| words.get(place).map_or(0, |word| word.parse().unwrap_or(0));
        let answer = match words[0] {
            "record" => {
                record(next, number(1));
                next += number(1);
                "recorded".to_owned()
            }
            "record-elsewhere" => {
                let count = number(1);
                let thread = std::thread::spawn(move || {
                    let _trace = Context::new_trace(origin).attach();
                    record(0, count);
                });
                format!("recorded={}", thread.join().is_ok())
            }
            "open" => {
                std::mem::forget(point!("open"));
                "opened".to_owned()
            }
            "thread" => {
                std::thread::spawn(move || record_for_ever(origin));
                "started".to_owned()
            }
            "submit" => {
                submit(Some(origin));
                "submitted".to_owned()
            }
            "deny-threads" => limit_memory(Some(1 << 20)),
            "allow-threads" => limit_memory(None),
            "flush" => show(delivery::flush(LONG)),
            "try-flush" => show(delivery::flush(Duration::from_millis(number(1)))),
            "counters" => show(delivery::counters()),
            // Of the store at that place of the list.
            "counters-of" => show(delivery::counters_by_store()[number(1) as usize].1),
            "failed-publications" => format!("failed={}", delivery::failed_publications()),
            "messages" => messages(),
            "logger" => {
                log::set_max_level(log::LevelFilter::Info);
                format!("set={}", log::set_logger(&LOGGER).is_ok())
            }
            "logged" => {
                let logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
                logged.join(" | ")
            }
            // MiB of memory, MiB of files, and the folder for them.
            "bounds" => {
                delivery::set_bounds(delivery::Bounds {
                    queue_bytes: (number(1) as usize) << 20,
                    spool_folder: words.get(3).map(std::path::PathBuf::from),
                    spool_bytes: number(2) << 20,
                });
                "set".to_owned()
            }
            "pass" => {
                delivery::let_time_pass(Duration::from_secs(number(1)));
                "passed".to_owned()
            }
            "exit-deadline" => {
                delivery::set_exit_deadline(Duration::from_millis(number(1)));
                "set".to_owned()
            }
            "open-gate" => {
                *GATE.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
                GATE.1.notify_all();
                "open".to_owned()
            }
            "driver" => format!(
                "calls={} taken={} told={}",
                CALLS.load(SeqCst),
                TAKEN.load(SeqCst),
                TOLD.load(SeqCst)
            ),
            "fork-worker" => fork_worker(origin, number(1)),
            "fork" => fork(origin, number(1), number(2), exit),
            "fork-workers" => fork(origin, number(1), number(2), end_as_worker),
            "fork-unseen" => fork_unseen(origin, number(1), number(2)),
            "fork-orphan" => fork_orphan(origin, number(1), number(2)),
            "fork-idle" => fork_idle(words[1]),
            "handle-sigterm" => {
                // SAFETY: the handler is a function of this program; that `exit` is not safe in one is what is tried here.
                unsafe { libc::signal(libc::SIGTERM, end_by_signal as *const () as usize) };
                "handling".to_owned()
            }
            "exit" => exit(number(1) as i32),
            "_exit" => end_as_worker(number(1) as i32),
            // As `_exit` of somebody who puts something in its place and goes on.
            "end" => {
                delivery::end();
                show(delivery::counters())
            }
            "return" => return,
            // The current trace ends, the next commands record into another.
            "trace" => {
                drop(trace.take());
                trace = Some(Context::new_trace(origin).attach());
                "begun".to_owned()
            }
            other => panic!("unknown command `{other}`"),
        };
        say(&answer);
    }
}

/// What the program's logger was given.
static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());
static LOGGER: Logger = Logger;

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let thread = std::thread::current();
        let line = format!(
            "{} in {}: {}",
            record.level(),
            thread.name().unwrap_or("?"),
            record.args()
        );
        LOGGED
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
    }

    fn flush(&self) {}
}

fn attach(store: &str) -> Result<Origin> {
    let (project, service, host) = (Some("test"), Some("program"), "host-1");
    let Some(mood) = store.strip_prefix("own:") else {
        let connections = ConnectionStrings::parse(store)?;
        return delivery::attach_each(project, service, host, &connections);
    };
    let mood = match mood {
        "takes" => Mood::Takes,
        "panic" => Mood::Panics,
        "gate" => Mood::Waits,
        "down" => Mood::IsDown,
        other => panic!("unknown mood `{other}`"),
    };
    let attached = Arc::new(OnceLock::new());
    let origin = Arc::clone(&attached);
    let own = move || -> Result<Box<dyn Writer>> {
        let origin = Arc::clone(&origin);
        Ok(Box::new(Own { mood, origin }))
    };
    let origin = delivery::attach_own(project, service, host, store, own)?;
    Ok(*attached.get_or_init(|| origin))
}

/// What a driver does with what it is given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Takes,
    Panics,
    /// Hangs at the gate.
    Waits,
    /// Takes nothing at the first call. While it takes it at the second, it submits one more, as any thread might at that moment.
    IsDown,
}

/// A driver with defects, as wanted.
struct Own {
    mood: Mood,
    origin: Arc<OnceLock<Origin>>,
}

impl Writer for Own {
    fn write(&mut self, batch: &Notifications) -> Result<()> {
        let calls_before = CALLS.fetch_add(1, SeqCst);
        match self.mood {
            Mood::Takes => {}
            Mood::Panics => panic!("a defect, on purpose"),
            Mood::Waits => {
                let open = GATE.0.lock().unwrap_or_else(PoisonError::into_inner);
                let opened = GATE.1.wait_while(open, |open| !*open);
                drop(opened.unwrap_or_else(PoisonError::into_inner));
            }
            Mood::IsDown => match calls_before {
                0 => return Err(Error::new(ErrorKind::Unavailable, "down, on purpose")),
                1 => submit(self.origin.get().copied()),
                _ => {}
            },
        }
        TAKEN.fetch_add(batch.len() as u64, SeqCst);
        Ok(())
    }

    fn write_loss(&mut self, _base_id: Option<Id<'_>>, loss: Loss) -> Result<()> {
        TOLD.fetch_add(loss.count, SeqCst);
        Ok(())
    }

    fn take_losses(&mut self) -> Vec<Loss> {
        Vec::new()
    }
}

/// Hands in a notification.
fn submit(origin: Option<Origin>) {
    let Some(origin) = origin else {
        panic!("nothing is written before the origin is attached")
    };
    let id = Id::from_u128(1);
    let notification = Notification {
        name: "work-start",
        base_id: id,
        trace_id: id,
        parent_id: id,
        timestamp: Timestamp::default(),
        info: "{}",
        project: None,
        service: None,
    };
    delivery::submit(origin, &notification);
}

/// Records `count` points, each with its number in its start's info.
fn record(first: u64, count: u64) {
    for number in first..first + count {
        let _point = point!("work", {"number": number});
    }
}

fn record_for_ever(origin: Origin) {
    let _trace = Context::new_trace(origin).attach();
    for first in 0.. {
        record(first, 1);
        std::thread::yield_now();
    }
}

/// Forks `children` that record `count` points each, into traces of their own, and end by `end`; waits for them.
fn fork(origin: Origin, children: u64, count: u64, end: fn(i32) -> !) -> String {
    let mut pids = Vec::new();
    for _ in 0..children {
        // SAFETY: the child goes on with code of this program that takes no lock its parent's other thread could hold:
        // that recording and delivery do not either is what is tried here.
        match unsafe { libc::fork() } {
            0 => {
                let trace = Context::new_trace(origin).attach();
                record(0, count);
                drop(trace);
                end(0);
            }
            pid => pids.push(pid),
        }
    }
    let mut failed = 0;
    for pid in pids {
        let mut status = 0;
        // SAFETY: the pid is a child's, and the status a live place for one.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        failed += u64::from(status != 0);
    }
    format!("failed={failed}")
}

/// Forks a child that records and waits to be killed, at the latest with its parent.
fn fork_worker(origin: Origin, count: u64) -> String {
    // SAFETY: as in `fork`.
    let pid = unsafe { libc::fork() };
    if pid > 0 {
        return pid.to_string();
    }
    // SAFETY: the call changes nothing but which signal this process gets.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let trace = Context::new_trace(origin).attach();
    record(0, count);
    drop(trace);
    loop {
        std::thread::park();
    }
}

/// As `fork`, by the system call itself: no handler that anybody registered for forks runs. Says how many children had all of their own
/// stored, and how many all of it counted as lost.
fn fork_unseen(origin: Origin, children: u64, count: u64) -> String {
    let (mut stored, mut lost) = (0, 0);
    for _ in 0..children {
        // SAFETY: as in `fork`; besides, nobody but this thread is using C's allocator, whose handlers do not run either.
        let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
        if pid == 0 {
            let trace = Context::new_trace(origin).attach();
            record(0, count);
            drop(trace);
            let counters = delivery::flush(LONG);
            exit(match (counters.stored(), counters.lost()) {
                (stored, 0) if stored == 2 * count => 0,
                (0, lost) if lost == 2 * count => 1,
                _ => 2,
            });
        }
        let mut status = 0;
        // SAFETY: the pid is a child's, and the status a live place for one.
        unsafe { libc::waitpid(pid as i32, &raw mut status, 0) };
        stored += u64::from(status == 0);
        lost += u64::from(status == 1 << 8);
    }
    format!("stored={stored} lost={lost}")
}

/// Forks a child that stores `before` points, waits for its parent's end, and records `after` points more.
fn fork_orphan(origin: Origin, before: u64, after: u64) -> String {
    let (mut from_child, to_parent) = std::io::pipe().unwrap_or_else(|error| panic!("{error}"));
    let (mut from_parent, to_child) = std::io::pipe().unwrap_or_else(|error| panic!("{error}"));
    // SAFETY: as in `fork`.
    if unsafe { libc::fork() } == 0 {
        drop((from_child, to_child));
        let trace = Context::new_trace(origin).attach();
        record(0, before);
        let stored = delivery::flush(LONG).stored();
        // Its parent reads until this end closes.
        drop(to_parent);
        // Nobody writes: this ends with the parent.
        let ended = from_parent.read(&mut [0]);
        record(before, after);
        drop(trace);
        exit(i32::from(ended.is_err() || stored != 2 * before));
    }
    drop(to_parent);
    std::mem::forget(to_child);
    let read = from_child.read(&mut [0]);
    format!("left={}", read.is_ok())
}

/// Forks a child that records nothing, and lives until nobody else has a lock of the file.
fn fork_idle(path: &str) -> String {
    // SAFETY: as in `fork`.
    if unsafe { libc::fork() } == 0 {
        // Whoever waits for the parent's streams to close does not wait for this.
        for number in 0..3 {
            // SAFETY: the numbers are those of the standard streams, which nobody in this child uses any more.
            unsafe { libc::close(number) };
        }
        let locked = std::fs::File::open(path).is_ok_and(|file| file.lock().is_ok());
        // SAFETY: ends the process, whatever it has.
        unsafe { libc::_exit(i32::from(!locked)) };
    }
    "forked".to_owned()
}

/// Lets the process have that many bytes of address space more than now, which are less than a thread's stack; or any number.
fn limit_memory(room: Option<u64>) -> String {
    let used = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = used
        .split(' ')
        .next()
        .map_or(0, |pages| pages.parse().unwrap_or(0));
    // SAFETY: `sysconf` reads a number, and the limits are a live place for two; a limit can at worst make an allocation fail.
    let outcome = unsafe {
        let page_bytes = libc::sysconf(libc::_SC_PAGESIZE) as u64;
        let limits = libc::rlimit {
            rlim_cur: room.map_or(libc::RLIM_INFINITY, |room| pages * page_bytes + room),
            rlim_max: libc::RLIM_INFINITY,
        };
        libc::setrlimit(libc::RLIMIT_AS, &raw const limits)
    };
    format!("limited={}", outcome == 0)
}

extern "C" fn end_by_signal(_signal: i32) {
    // SAFETY: C's `exit`, as a server's handler calls it; Rust's would first flush a standard output that may be in use.
    unsafe { libc::exit(0) }
}

#[expect(
    clippy::disallowed_methods,
    reason = "that a program ends like this is what is tried here"
)]
fn exit(status: i32) -> ! {
    std::process::exit(status);
}

/// Ends as launchers of workers end theirs: without exit handlers.
fn end_as_worker(status: i32) -> ! {
    delivery::end();
    // SAFETY: the call takes a number and does not return.
    unsafe { libc::_exit(status) }
}

fn show(counters: Counters) -> String {
    let mut words = vec![
        format!("recorded={}", counters.recorded()),
        format!("stored={}", counters.stored()),
        format!("spooled={}", counters.spooled()),
        format!("adopted={}", counters.adopted()),
        format!("lost={}", counters.lost()),
        format!("waiting={}", counters.waiting()),
    ];
    words.extend(
        counters
            .losses()
            .map(|loss| format!("{}={}", loss.reason.name(), loss.count)),
    );
    words.join(" ")
}

fn messages() -> String {
    let messages = delivery::take_messages();
    let texts: Vec<String> = messages.iter().map(ToString::to_string).collect();
    texts.join(" | ")
}

fn say(answer: &str) {
    let mut out = std::io::stdout().lock();
    let said = writeln!(out, "{answer}").and_then(|()| out.flush());
    // A test that has ended reads no more.
    drop(said);
}
