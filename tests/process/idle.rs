// SPDX-License-Identifier: Apache-2.0
//! The background thread beside an idle program: no signal reaches it, no timer wakes it, and the next event does.

use crate::harness::Program;

#[test]
fn the_thread_sleeps_without_a_timer_and_wakes_for_the_next_event() {
    let mut program = Program::start("own:takes");
    assert_eq!(program.delivery_thread(), None, "nothing was recorded yet");
    for round in 1..=3 {
        program.ask("record 10");
        program.await_numbers(|numbers| numbers.stored == 20 * round);
        let thread = program.delivery_thread().unwrap();
        // In a futex call whose fourth argument, the timeout, is null: it comes to that after a second without events.
        let sleeps = || {
            let call = std::fs::read_to_string(thread.join("syscall")).unwrap_or_default();
            let words: Vec<&str> = call.split(' ').collect();
            words.len() > 4 && words[0] == FUTEX && words[4] == "0x0"
        };
        while !sleeps() {
            std::thread::yield_now();
        }
    }
    assert!(program.end("return").status.success());
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
