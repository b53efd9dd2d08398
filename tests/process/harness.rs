// SPDX-License-Identifier: Apache-2.0
//! Starts the traced program, talks to it, and reads what it left in its store.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use osprofiler::driver::{ConnectionString, ListFilter, registry};
use osprofiler::{Id, Kind, Notifications};

/// What a program is waited for at most, be it for an answer, for the right one, or for its end: a test that does not see what it waits for
/// fails, and says of which store.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_mins(2);

/// A running traced program.
pub(crate) struct Program {
    store: String,
    child: Child,
    input: Option<ChildStdin>,
    /// Its answers.
    output: Receiver<String>,
}

/// How a program ended.
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
}

/// What a program says its counters are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) recorded: u64,
    pub(crate) stored: u64,
    pub(crate) spooled: u64,
    pub(crate) adopted: u64,
    pub(crate) lost: u64,
    pub(crate) waiting: u64,
    pub(crate) by_reason: HashMap<String, u64>,
}

impl Numbers {
    fn parse(answer: &str) -> Self {
        let mut by_reason: HashMap<String, u64> = answer
            .split(' ')
            .map(|word| {
                let (name, number) = word.split_once('=').unwrap();
                (name.to_owned(), number.parse().unwrap())
            })
            .collect();
        let mut take = |name: &str| by_reason.remove(name).unwrap();
        Self {
            recorded: take("recorded"),
            stored: take("stored"),
            spooled: take("spooled"),
            adopted: take("adopted"),
            lost: take("lost"),
            waiting: take("waiting"),
            by_reason,
        }
    }
}

impl Program {
    pub(crate) fn start(store: &str) -> Self {
        // What it publishes is nobody's business but of the tests that look at it.
        Self::publishing(store, Path::new("off"))
    }

    /// One that publishes its counters below that folder.
    pub(crate) fn publishing(store: &str, folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_traced-program"))
            .arg(store)
            .env("OSPROFILER_RUNTIME_DIR", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = lines_of(child.stdout.take().unwrap());
        let input = child.stdin.take();
        Self {
            store: store.to_owned(),
            child,
            input,
            output,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives a command and returns its answer.
    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        let answer = self.output.recv_timeout(LONGEST_WAIT);
        self.in_time(answer, &format!("no answer to `{command}`"))
    }

    /// What was waited for. One that hangs is killed: nobody would end it any more.
    fn in_time<T>(&mut self, found: Result<T, RecvTimeoutError>, missing: &str) -> T {
        let store = &self.store;
        match found {
            Ok(found) => found,
            Err(RecvTimeoutError::Disconnected) => panic!("{store}: {missing}: it ended"),
            Err(RecvTimeoutError::Timeout) => {
                let _ = self.child.kill();
                panic!("{store}: {missing} after {LONGEST_WAIT:?}")
            }
        }
    }

    /// Gives a command that has no answer.
    pub(crate) fn tell(&mut self, command: &str) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{command}").unwrap();
        input.flush().unwrap();
    }

    pub(crate) fn numbers(&mut self, command: &str) -> Numbers {
        Numbers::parse(&self.ask(command))
    }

    /// Asks for the counters until they satisfy `condition`, which they are going to.
    pub(crate) fn await_numbers(&mut self, condition: impl Fn(&Numbers) -> bool) -> Numbers {
        let answer = self.await_answer("counters", |answer| condition(&Numbers::parse(answer)));
        Numbers::parse(&answer)
    }

    /// Gives a command until its answer satisfies `condition`, which it is going to.
    pub(crate) fn await_answer(
        &mut self,
        command: &str,
        condition: impl Fn(&str) -> bool,
    ) -> String {
        let deadline = Instant::now() + LONGEST_WAIT;
        loop {
            let answer = self.ask(command);
            if condition(&answer) {
                return answer;
            }
            assert!(
                Instant::now() < deadline,
                "{}: `{command}` says `{answer}` after {LONGEST_WAIT:?}",
                self.store
            );
            std::thread::yield_now();
        }
    }

    /// Gives a last command and waits for the end.
    pub(crate) fn end(mut self, command: &str) -> End {
        self.tell(command);
        self.wait()
    }

    pub(crate) fn signal(self, signal: &str) -> End {
        let sent = Command::new("kill")
            .args([signal, &self.pid().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
        self.wait()
    }

    fn wait(mut self) -> End {
        let deadline = Instant::now() + LONGEST_WAIT;
        // The input stays open: a program that ends only because its input does is not what is tried.
        let mut pipe = self.child.stderr.take().unwrap();
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut stderr = String::new();
            pipe.read_to_string(&mut stderr).unwrap();
            let _ = sender.send(stderr);
        });
        let stderr = receiver.recv_timeout(LONGEST_WAIT);
        let stderr = self.in_time(stderr, "no end");
        let status = self.status_by(deadline);
        let status = self.in_time(status, "no end but that of its stderr");
        End { status, stderr }
    }

    /// How it ended, if it has by then.
    fn status_by(&mut self, deadline: Instant) -> Result<ExitStatus, RecvTimeoutError> {
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(RecvTimeoutError::Timeout);
            }
            std::thread::yield_now();
        }
    }

    /// How many threads it has.
    pub(crate) fn threads(&self) -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid()));
        tasks.unwrap().count()
    }

    /// The thread of delivery: its folder in `/proc`.
    pub(crate) fn delivery_thread(&self) -> Option<std::path::PathBuf> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        tasks
            .filter_map(|task| Some(task.ok()?.path()))
            .find(|task| {
                std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "osprofiler\n")
            })
    }
}

/// The whole lines that come from there, read by a thread: who waits for one need not wait for ever.
fn lines_of(output: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        loop {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            if line.pop() != Some('\n') || sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// What is in a store, by trace.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) traces: Vec<StoredTrace>,
}

#[derive(Debug, Default)]
pub(crate) struct StoredTrace {
    pub(crate) notifications: u64,
    /// Points that have a start and no stop.
    pub(crate) open: u64,
    /// The numbers in the starts' infos, in order of time.
    pub(crate) numbers: Vec<u64>,
    pub(crate) lost: u64,
}

impl Stored {
    pub(crate) fn read(store: &str) -> Self {
        let connection = ConnectionString::parse(store).unwrap();
        let mut reader = registry::open_reader(&connection).unwrap();
        let mut ids = Vec::new();
        reader
            .list(ListFilter::All, &mut |trace| {
                ids.push(trace.base_id.to_string());
            })
            .unwrap();
        let traces = ids.iter().map(|id| {
            let mut notifications = Notifications::default();
            let summary = reader
                .read(Id::parse(id).unwrap(), &mut notifications)
                .unwrap();
            notifications.sort_by_timestamp();
            StoredTrace::new(
                &notifications,
                summary.losses.iter().map(|loss| loss.count).sum(),
            )
        });
        Self {
            traces: traces.collect(),
        }
    }

    pub(crate) fn notifications(&self) -> u64 {
        self.traces.iter().map(|trace| trace.notifications).sum()
    }

    pub(crate) fn lost(&self) -> u64 {
        self.traces.iter().map(|trace| trace.lost).sum()
    }

    pub(crate) fn open(&self) -> u64 {
        self.traces.iter().map(|trace| trace.open).sum()
    }
}

impl StoredTrace {
    fn new(notifications: &Notifications, lost: u64) -> Self {
        let mut points: HashMap<String, (u64, u64)> = HashMap::new();
        let mut numbers = Vec::new();
        for notification in notifications.iter() {
            let point = points.entry(notification.trace_id.to_string()).or_default();
            match notification.kind() {
                Kind::Start => {
                    point.0 += 1;
                    let number = notification
                        .info
                        .strip_prefix("{\"number\": ")
                        .and_then(|rest| rest.split(',').next());
                    numbers.extend(number.map(|number| number.parse::<u64>().unwrap()));
                }
                Kind::Stop => point.1 += 1,
            }
        }
        for (id, (starts, stops)) in &points {
            assert!(*starts <= 1 && *stops <= 1, "stored twice: {id}");
        }
        Self {
            notifications: notifications.len() as u64,
            open: points.values().filter(|(_, stops)| *stops == 0).count() as u64,
            numbers,
            lost,
        }
    }
}
