// SPDX-License-Identifier: Apache-2.0
//! The background thread beside an idle program: no signal reaches it, no timer wakes it, and the next event does.

use crate::harness::Program;

#[test]
fn the_thread_sleeps_without_a_timer_and_wakes_for_the_next_event() {
    let mut program = Program::start("own:takes");
    assert_eq!(program.delivery_thread(), None, "nothing was recorded yet");
    for round in 1..=3 {
        program.ask("record 10");
        program.await_numbers(|numbers| numbers.stored == 21 * round - 1);
        // It comes to that when the last thread's chunk is taken back, after a second without events.
        await_sleep(&program);
        program.ask("submit");
        await_sleep(&program);
        assert_eq!(program.numbers("counters").stored, 21 * round);
    }
    assert!(program.end("return").status.success());
}

#[test]
fn what_is_submitted_while_the_thread_is_about_to_sleep_is_not_left_behind() {
    // The store takes what it is given in a turn that finds nothing new, and after which nothing is left to do.
    let mut program = Program::start("own:down");
    program.ask("record-elsewhere 1");
    while program.delivery_thread().is_none() {
        std::thread::yield_now();
    }
    await_sleep(&program);
    let numbers = program.numbers("counters");
    assert_eq!((numbers.recorded, numbers.stored), (3, 3));
}

/// Waits until the thread sleeps in a futex call whose fourth argument, the timeout, is null.
fn await_sleep(program: &Program) {
    let call = program.delivery_thread().unwrap().join("syscall");
    let sleeps = || {
        let call = std::fs::read_to_string(&call).unwrap_or_default();
        let words: Vec<&str> = call.split(' ').collect();
        words.len() > 4 && words[0] == FUTEX && words[4] == "0x0"
    };
    while !sleeps() {
        std::thread::yield_now();
    }
}

#[test]
fn the_thread_takes_no_signal_of_the_programs() {
    let mut program = Program::start("own:takes");
    program.ask("record 1");
    program.numbers("flush");
    let thread = program.delivery_thread().unwrap();
    let status = std::fs::read_to_string(thread.join("status")).unwrap();
    let blocked = status
        .lines()
        .find_map(|line| line.strip_prefix("SigBlk:"))
        .unwrap();
    let blocked = u64::from_str_radix(blocked.trim(), 16).unwrap();
    for (name, number) in [
        ("HUP", 1),
        ("INT", 2),
        ("USR1", 10),
        ("ALRM", 14),
        ("TERM", 15),
        ("CHLD", 17),
        ("PROF", 27),
        ("the last real-time signal", 64),
    ] {
        assert!(blocked & 1 << (number - 1) != 0, "{name} is not blocked");
    }
    assert_eq!(
        blocked & 1 << (11 - 1),
        0,
        "a fault of its own must end the process"
    );
}

/// The number of the system call.
const FUTEX: &str = if cfg!(target_arch = "x86_64") {
    "202"
} else {
    "98"
};
