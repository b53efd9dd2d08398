// SPDX-License-Identifier: Apache-2.0
//! What a real server cannot be brought to do: answer nonsense, close at the wrong moment, say nothing at all. A stand-in
//! plays a script to each connection. Everything else is tested on real servers, in the folder `tests/`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use super::reader::RedisReader;
use super::settings::Settings;
use super::writer::RedisWriter;
use crate::driver::{ConnectionString, Reader, Writer};
use crate::{ErrorKind, Id, Loss, LossReason, Notification, Notifications, Result, Timestamp};

/// Takes one connection after the other and answers what comes first with a script each; then the port is closed.
fn stand_in(scripts: &[&[u8]]) -> (u16, JoinHandle<Vec<String>>) {
    let scripts: Vec<Vec<u8>> = scripts.iter().map(|script| script.to_vec()).collect();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let played = std::thread::spawn(move || {
        let play = |script: &Vec<u8>| {
            let (mut connection, _) = listener.accept().unwrap();
            let mut heard = vec![0; 1 << 16];
            let length = connection.read(&mut heard).unwrap();
            connection.write_all(script).unwrap();
            drain(&connection);
            String::from_utf8_lossy(&heard[..length]).into_owned()
        };
        scripts.iter().map(play).collect()
    });
    (port, played)
}

/// Closes our side and waits until the other has closed its own.
fn drain(mut connection: &TcpStream) {
    connection.shutdown(std::net::Shutdown::Write).unwrap();
    let _ = connection.read_to_end(&mut Vec::new());
}

fn settings(text: &str) -> Settings {
    Settings::of(&ConnectionString::parse(text).unwrap()).unwrap()
}

fn batch() -> Notifications {
    batch_of(&[1])
}

fn batch_of(traces: &[u128]) -> Notifications {
    let mut batch = Notifications::default();
    for &trace in traces {
        push(&mut batch, trace);
    }
    batch
}

fn push(batch: &mut Notifications, trace: u128) {
    batch.push(&Notification {
        name: "db-start",
        base_id: Id::from_u128(trace),
        trace_id: Id::from_u128(2),
        parent_id: Id::from_u128(1),
        timestamp: Timestamp::from_micros(7),
        info: "{}",
        project: None,
        service: None,
    });
}

fn write(port: u16, options: &str) -> Result<()> {
    let text = format!("redis://:s3cret@127.0.0.1:{port}?socket_timeout=3{options}");
    RedisWriter::new(settings(&text)).write(&batch())
}

const ID: &str = "00000000-0000-0000-0000-000000000001";
/// The answers to AUTH, MULTI, LPUSH and ZADD.
const QUEUED: &str = "+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n";

/// Writes to a server that answers `AUTH` with the script, and is silent or gone after it.
fn check(script: &[u8], kind: ErrorKind, passes: bool, why: &str) {
    let (port, played) = stand_in(&[script]);
    let error = write(port, "").unwrap_err();
    played.join().unwrap();
    let text = error.to_string();
    assert_eq!(
        (error.kind(), error.is_temporary()),
        (kind, passes),
        "{text}"
    );
    assert!(text.ends_with(why), "{text}");
    assert!(
        text.starts_with("cannot write `redis://:***@127.0.0.1:"),
        "{text}"
    );
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
}

#[test]
fn whatever_answers_there_one_message_says_what_it_is() {
    use ErrorKind::{Corrupt, Full, Unavailable};
    const STRANGER: &str = "what answers there does not speak as Redis does";
    const CLOSED: &str = "it closed the connection";
    check(b"HTTP/1.1 400 Bad Request\r\n\r\n", Corrupt, true, STRANGER);
    check(b"220 mail ESMTP\r\n", Corrupt, true, STRANGER);
    check(b"\x15\x03\x01\x00\x02\x02\x28", Corrupt, true, STRANGER);
    check(b"", Unavailable, true, CLOSED);
    check(b"+OK\r\n+OK\r\n+QUE", Unavailable, true, CLOSED);
    check(b"$-7\r\n*-1\r\n:x\r\n", Corrupt, true, STRANGER);
    check(
        b"+OK\r\n+OK\r\n+QUEUED\r\n-OOM command not allowed\r\n",
        Full,
        true,
        "the server's memory is full (`maxmemory`)",
    );
}

#[test]
fn a_transaction_has_an_answer_for_each_command() {
    for (answer, expected) in [
        ("*2\r\n:1\r\n:1\r\n", None),
        // An old server, which knows no `LT`: the list is what counts.
        ("*2\r\n:1\r\n-ERR syntax error\r\n", None),
        ("*2\r\n-WRONGTYPE x\r\n:1\r\n", Some(ErrorKind::Corrupt)),
        ("*1\r\n:1\r\n", Some(ErrorKind::Corrupt)),
        ("*-1\r\n", Some(ErrorKind::Corrupt)),
        ("+OK\r\n", Some(ErrorKind::Corrupt)),
        ("-EXECABORT x\r\n", Some(ErrorKind::Unavailable)),
    ] {
        let (port, played) = stand_in(&[format!("{QUEUED}{answer}").as_bytes()]);
        let outcome = write(port, "");
        played.join().unwrap();
        assert_eq!(
            outcome.err().map(|error| error.kind()),
            expected,
            "{answer}"
        );
    }
}

#[test]
fn a_user_who_may_begin_no_transaction_is_refused() {
    const ANSWERS: &[u8] = b"-NOPERM no multi\r\n-NOPERM no hincrby\r\n-ERR EXEC without MULTI\r\n";
    let (port, played) = stand_in(&[ANSWERS]);
    let loss = Loss {
        count: 3,
        reason: LossReason::Exit,
    };
    let mut writer = RedisWriter::new(settings(&format!("redis://127.0.0.1:{port}")));
    let error = writer.write_loss(None, loss).unwrap_err();
    drop(writer);
    played.join().unwrap();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}

#[test]
fn a_batch_counts_as_stored_once_the_replicas_have_it() {
    for (answer, expected) in [
        (":1\r\n", None),
        (":2\r\n", None),
        (":0\r\n", Some("only 0 of 1 replicas have it")),
    ] {
        // The answers to the three commands that leave a mark come with the transaction's.
        let queued = QUEUED.to_owned() + &"+QUEUED\r\n".repeat(3);
        let script = format!("{queued}*5\r\n{}{answer}", ":1\r\n".repeat(5));
        let (port, played) = stand_in(&[script.as_bytes()]);
        let outcome = write(port, "&replicas=1");
        played.join().unwrap();
        let error = outcome.err();
        assert!(error.iter().all(crate::Error::is_temporary));
        let text = error.map(|error| error.to_string());
        assert!(
            text.as_deref().map_or(expected.is_none(), |text| {
                expected.is_some_and(|expected| text.ends_with(expected))
            }),
            "{answer}: {text:?}"
        );
    }
}

#[test]
fn a_key_of_somebody_elses_costs_its_own_trace_alone() {
    const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
    let queued = "+OK\r\n".to_owned() + &"+QUEUED\r\n".repeat(6);
    let answers = format!("*6\r\n:1\r\n:1\r\n{WRONG}:1\r\n:2\r\n:1\r\n");
    let loss = "+OK\r\n+QUEUED\r\n*1\r\n:1\r\n";
    let (port, played) = stand_in(&[(queued + &answers + loss).as_bytes()]);
    let mut writer = RedisWriter::new(settings(&format!("redis://127.0.0.1:{port}")));
    writer.write(&batch_of(&[1, 2, 2, 3])).unwrap();
    let refused = Loss {
        count: 2,
        reason: LossReason::Refused,
    };
    assert_eq!(writer.take_losses(), [refused]);
    assert_eq!(writer.take_losses(), []);
    drop(writer);
    played.join().unwrap();
}

#[test]
fn a_loss_without_an_answer_is_told_again_as_the_same_number() {
    const STORED: &[u8] = b"+OK\r\n+QUEUED\r\n*1\r\n:1\r\n";
    let (port, played) = stand_in(&[b"+OK\r\n", STORED]);
    let mut writer = RedisWriter::new(settings(&format!("redis://127.0.0.1:{port}")));
    let loss = Loss {
        count: 3,
        reason: LossReason::QueueFull,
    };
    writer.write_loss(Some(Id::from_u128(1)), loss).unwrap_err();
    writer.write_loss(Some(Id::from_u128(1)), loss).unwrap();
    drop(writer);
    let heard = played.join().unwrap();
    assert!(heard[0].contains("\r\n3\r\n"), "{heard:?}");
    assert_eq!(heard[0], heard[1]);
}

#[test]
fn a_server_that_says_nothing_costs_its_time_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = write(listener.local_addr().unwrap().port(), "").unwrap_err();
    assert!(
        error.to_string().ends_with("it does not answer in time"),
        "{error}"
    );
    assert!(error.is_temporary());
}

#[test]
fn nobody_there_is_told_as_that() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = write(port, "").unwrap_err();
    assert!(
        error.to_string().ends_with("nobody listens there"),
        "{error}"
    );
    let socket = settings("unix:///nowhere/redis.sock");
    let error = RedisWriter::new(socket).write(&batch()).unwrap_err();
    assert!(
        error.to_string().ends_with("there is no such socket"),
        "{error}"
    );
    assert!(error.is_temporary());
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_replaced_unnoticed() {
    const STORED: &[u8] = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n:1\r\n";
    let (port, played) = stand_in(&[STORED, STORED]);
    let mut writer = RedisWriter::new(settings(&format!("redis://127.0.0.1:{port}")));
    writer.write(&batch()).unwrap();
    // The stand-in has closed its side after the first answer, as a server does with a client that was idle for long.
    writer.write(&batch()).unwrap();
    drop(writer);
    let heard = played.join().unwrap();
    assert_eq!(heard[0], heard[1]);
}

#[test]
fn a_batch_is_one_transaction_in_upstreams_layout() {
    const STORED: &[u8] = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:1\r\n:1\r\n:1\r\n";
    let (port, played) = stand_in(&[STORED]);
    let text = format!("redis://127.0.0.1:{port}?ttl=7d");
    RedisWriter::new(settings(&text)).write(&batch()).unwrap();
    let heard = played.join().unwrap().remove(0);
    let words: Vec<&str> = heard
        .lines()
        .filter(|line| !line.starts_with(['*', '$']))
        .collect();
    let list = format!("osprofiler_opt:{ID}");
    let json = format!(
        r#"{{"name": "db-start", "base_id": "{ID}", "trace_id": "00000000-0000-0000-0000-000000000002", "parent_id": "{ID}", "timestamp": "1970-01-01T00:00:00.000007", "info": {{}}, "project": null, "service": null}}"#
    );
    assert_eq!(
        words,
        [
            "MULTI",
            "LPUSH",
            &list,
            &json,
            "EXPIRE",
            &list,
            "604800",
            "ZADD",
            "osprofiler_traces",
            "LT",
            "7",
            ID,
            "EXEC"
        ]
    );
}

#[test]
fn sentinels_that_lead_nowhere_are_each_told_of() {
    const UNKNOWN: &[u8] = b"*-1\r\n";
    let (unknowing, played) = stand_in(&[UNKNOWN]);
    let (no_sentinel, played_too) = stand_in(&[b"-ERR unknown command 'SENTINEL'\r\n"]);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = nobody.local_addr().unwrap().port();
    drop(nobody);
    let text = format!(
        "redissentinel://127.0.0.1:{unknowing},127.0.0.1:{no_sentinel},127.0.0.1:{closed}?sentinel=kolla"
    );
    let mut notifications = Notifications::default();
    let error = RedisReader::new(settings(&text))
        .read(Id::from_u128(1), &mut notifications)
        .unwrap_err();
    played.join().unwrap();
    played_too.join().unwrap();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot read `{text}`: the sentinel `127.0.0.1:{unknowing}` knows no master `kolla`; \
             the sentinel `127.0.0.1:{no_sentinel}`: the server says \"unknown command 'SENTINEL'\"; \
             the sentinel `127.0.0.1:{closed}`: nobody listens there"
        )
    );
    assert!(error.is_temporary());
}

#[test]
fn a_server_that_is_no_master_any_more_is_not_used() {
    let (replica, played) = stand_in(&[b"*1\r\n$5\r\nslave\r\n"]);
    let port = replica.to_string();
    let answer = format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len());
    let (sentinel, asked) = stand_in(&[answer.as_bytes()]);
    let text = format!("redissentinel://127.0.0.1:{sentinel}");
    let error = RedisWriter::new(settings(&text))
        .write(&batch())
        .unwrap_err();
    let asked = asked.join().unwrap().remove(0);
    played.join().unwrap();
    assert!(asked.contains("mymaster"), "{asked}");
    let expected = format!(
        "`127.0.0.1:{port}`, which the sentinel `127.0.0.1:{sentinel}` names, is no master any more"
    );
    assert!(error.to_string().ends_with(&expected), "{error}");
    assert!(error.is_temporary());
}
