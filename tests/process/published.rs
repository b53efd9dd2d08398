// SPDX-License-Identifier: Apache-2.0
//! What traced processes publish of their counters, and what others see of it: while they run, when they end, are killed, or fork.

use std::path::Path;
use std::time::Instant;

use osprofiler::delivery::{ProcessList, PublishedProcess, RuntimeFolders, processes};

use crate::harness::{LONGEST_WAIT, Program};
use crate::stores;

fn processes_of(folder: &Path) -> ProcessList {
    processes(&RuntimeFolders {
        named: Some(folder.into()),
        user: None,
    })
}

/// Waits until the list satisfies `condition`, which it is going to.
fn await_list(folder: &Path, condition: impl Fn(&ProcessList) -> bool) -> ProcessList {
    let deadline = Instant::now() + LONGEST_WAIT;
    loop {
        let list = processes_of(folder);
        assert_eq!((list.refused, list.elsewhere), (0, 0), "{list:?}");
        if condition(&list) {
            return list;
        }
        assert!(Instant::now() < deadline, "{list:?} after {LONGEST_WAIT:?}");
        std::thread::yield_now();
    }
}

/// Whether there is one process, with that much waiting or stored.
fn one_with(list: &ProcessList, waiting: u64, stored: u64) -> bool {
    let [process] = &list.processes[..] else {
        return false;
    };
    let counters = process.total;
    (counters.waiting(), counters.stored()) == (waiting, stored)
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn counters_are_seen_while_the_process_runs_and_gone_with_its_orderly_end() {
    let folder = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    for store in stores(data.path()) {
        let mut program = Program::publishing(&store, folder.path());
        assert_eq!(files(folder.path()), 0, "nothing was recorded yet");
        program.ask("record 10");
        let list = await_list(folder.path(), |list| one_with(list, 0, 20));
        let PublishedProcess {
            pid,
            program: name,
            services,
            stores,
            ..
        } = &list.processes[0];
        assert_eq!((*pid, name.as_str()), (program.pid(), "traced-program"));
        assert_eq!(services.len(), 1);
        assert_eq!(stores.len(), 1);
        assert_eq!(
            (stores[0].0.as_str(), stores[0].1.stored()),
            (store.as_str(), 20)
        );
        assert!(program.end("return").status.success());
        assert_eq!(files(folder.path()), 0);
    }
}

#[test]
fn what_waits_for_a_store_that_is_down_and_what_is_lost_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let store = format!("sqlite://{}/trace.db", missing.display());
    let mut program = Program::publishing(&store, folder.path());
    program.ask("record 10");
    await_list(folder.path(), |list| one_with(list, 20, 0));
    std::fs::create_dir(&missing).unwrap();
    program.numbers("flush");
    await_list(folder.path(), |list| one_with(list, 0, 20));
    std::fs::remove_dir_all(&missing).unwrap();
    program.ask("record 1");
    // The file went with what it held, which is noticed with the next batch.
    let list = await_list(folder.path(), |list| {
        list.processes
            .iter()
            .any(|process| process.total.lost() == 20)
    });
    let losses: Vec<_> = list.processes[0].total.losses().collect();
    assert_eq!(losses[0].reason.name(), "store_removed");
    program.ask("exit-deadline 10");
    assert!(program.end("return").status.success());
}

#[test]
fn a_process_that_was_killed_is_not_listed_and_the_next_one_removes_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::publishing("own:takes", folder.path());
    program.ask("record 1");
    await_list(folder.path(), |list| one_with(list, 0, 2));
    program.signal("-KILL");
    let list = processes_of(folder.path());
    assert_eq!((list.processes.len(), list.ended), (0, 1));
    let mut next = Program::publishing("own:takes", folder.path());
    next.ask("record 1");
    let list = await_list(folder.path(), |list| one_with(list, 0, 2));
    assert_eq!((list.processes[0].pid, list.ended), (next.pid(), 0));
}

#[test]
fn a_forked_worker_has_counters_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let store = &stores(data.path())[0];
    let mut program = Program::publishing(store, folder.path());
    program.ask("record 10");
    await_list(folder.path(), |list| one_with(list, 0, 20));
    let worker: u32 = program.ask("fork-worker 3").parse().unwrap();
    let list = await_list(folder.path(), |list| list.processes.len() == 2);
    for process in &list.processes {
        let stored = if process.pid == worker { 6 } else { 20 };
        let counters = process.total;
        assert_eq!((counters.recorded(), counters.stored()), (stored, stored));
    }
    let killed = std::process::Command::new("kill")
        .args(["-KILL", &worker.to_string()])
        .status();
    assert!(killed.unwrap().success());
    // Its end takes nothing of its parent's away, whose own end is in order.
    let list = await_list(folder.path(), |list| list.processes.len() == 1);
    assert_eq!(list.processes[0].pid, program.pid());
    assert!(program.end("return").status.success());
    let left = processes_of(folder.path());
    assert_eq!((left.processes.len(), left.ended), (0, 1));
}

#[test]
fn a_silent_process_makes_no_file_and_one_that_cannot_publish_is_not_hurt() {
    let folder = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let store = &stores(data.path())[0];
    let before = folder.path().metadata().unwrap().modified().unwrap();
    let mut silent = Program::publishing(store, folder.path());
    silent.numbers("flush");
    assert!(silent.end("return").status.success());
    // A file that came and went would have changed the folder.
    assert_eq!(
        folder.path().metadata().unwrap().modified().unwrap(),
        before
    );

    let missing = folder.path().join("missing");
    let mut program = Program::publishing(store, &missing);
    program.ask("record 10");
    program.await_answer("failed-publications", |answer| answer == "failed=1");
    let numbers = program.numbers("flush");
    assert_eq!(
        (numbers.stored, numbers.lost, missing.exists()),
        (20, 0, false)
    );
    assert_eq!(program.ask("messages"), "");
}

/// What the command says of the processes below that folder.
fn doctor(folder: &Path, arguments: &[&str]) -> String {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let environment = osprofiler_cli::Environment {
        runtime_folders: RuntimeFolders {
            named: Some(folder.into()),
            user: None,
        },
        ..osprofiler_cli::Environment::default()
    };
    let arguments = ["osprofiler", "doctor"].iter().chain(arguments);
    let status = osprofiler_cli::run(
        arguments.map(Into::into),
        &mut stdout,
        &mut stderr,
        &environment,
    );
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!((status.code(), stderr.as_str()), (0, ""));
    String::from_utf8(stdout).unwrap()
}

#[test]
fn the_command_shows_each_process_with_its_stores_and_what_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let up = format!("file://{}/trace", data.path().display());
    let down = format!("sqlite://{}/missing/trace", data.path().display());
    let mut program = Program::publishing(&format!("{up}, {down}"), folder.path());
    let mut killed = Program::publishing("own:takes", folder.path());
    program.ask("record 10");
    killed.ask("record 1");
    await_list(folder.path(), |list| {
        list.processes.len() == 2
            && list.processes.iter().any(|process| {
                let counters = process.total;
                (counters.recorded(), counters.stored(), counters.waiting()) == (40, 20, 20)
            })
    });
    killed.signal("-KILL");
    let pid = program.pid();

    let text = doctor(folder.path(), &["--processes"]);
    let row = text
        .lines()
        .find(|line| line.contains("traced-program"))
        .unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells[0], pid.to_string());
    assert_eq!(cells[4..9], ["40", "20", "20", "0", "0"], "{text}");
    assert!(
        text.contains(&format!("{pid} {up}: 20 recorded, 20 stored, 0 waiting")),
        "{text}"
    );
    assert!(
        text.contains(&format!("{pid} {down}: 20 recorded, 0 stored, 20 waiting")),
        "{text}"
    );
    assert!(
        text.contains("not listed: 1 process killed or crashed"),
        "{text}"
    );

    let json: serde_json::Value =
        serde_json::from_str(&doctor(folder.path(), &["--processes", "--json"])).unwrap();
    let process = &json["processes"][0];
    assert_eq!(json["processes"].as_array().unwrap().len(), 1);
    assert_eq!(json["processes_ended"], 1);
    assert_eq!(process["pid"], pid);
    assert_eq!(
        (&process["recorded"], &process["spooled"]),
        (&40.into(), &0.into())
    );
    assert_eq!(process["stores"][1]["store"], down.as_str());
    assert_eq!(process["stores"][1]["waiting"], 20);

    let metrics = doctor(folder.path(), &["--prometheus"]);
    let value = |name: &str, label: &str| {
        let mut lines = metrics.lines();
        let line =
            lines.find(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
        line.and_then(|line| line.rsplit_once(' '))
            .map(|(_, value)| value.to_owned())
    };
    for (name, label, expected) in [
        (
            "osprofiler_notifications_recorded_total",
            "program=\"traced-program\"",
            "40",
        ),
        (
            "osprofiler_notifications_waiting",
            &format!("pid=\"{pid}\""),
            "20",
        ),
        (
            "osprofiler_notifications_lost_total",
            "reason=\"queue_full\"",
            "0",
        ),
        (
            "osprofiler_store_notifications_stored_total",
            &format!("store=\"{up}\""),
            "20",
        ),
        (
            "osprofiler_store_notifications_waiting",
            &format!("store=\"{down}\""),
            "20",
        ),
    ] {
        assert_eq!(
            value(name, label).as_deref(),
            Some(expected),
            "{name}\n{metrics}"
        );
    }
    program.ask("exit-deadline 10");
    assert!(program.end("return").stderr.contains("are lost"));
}
