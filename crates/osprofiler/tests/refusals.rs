// SPDX-License-Identifier: Apache-2.0
//! What drivers of servers say when a stranger answers at the server's address, or a server knows no such user: the kind says
//! what it is, and what was recorded is kept for when an administrator has put it right.

#![cfg(all(
    feature = "messaging",
    feature = "mongodb",
    feature = "mysql",
    feature = "postgresql",
    feature = "redis"
))]

use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};

use osprofiler::driver::{ConnectionString, registry};
use osprofiler::{ErrorKind, Id, Notification, Notifications, Timestamp};

/// What a proxy answers while the server behind it is away.
const PROXY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n<html>503</html>\r\n";

/// Answers whatever comes first on each connection, or before anything comes, with `answer`.
fn stranger(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it has one").port();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || answer_and_end(connection, answer));
        }
    });
    port
}

fn answer_and_end(mut connection: TcpStream, answer: &[u8]) {
    // The client may be gone at any moment.
    let _ = connection.write_all(answer);
    let _ = connection.shutdown(std::net::Shutdown::Write);
    let _ = connection.read_to_end(&mut Vec::new());
}

fn check(store: &str, answer: &'static [u8], kind: ErrorKind) {
    let store = store.replace("PORT", &stranger(answer).to_string());
    let connection = ConnectionString::parse(&store).expect("it is one");
    let mut batch = Notifications::default();
    let id = Id::from_u128(1);
    batch.push(&Notification {
        name: "db-start",
        base_id: id,
        trace_id: id,
        parent_id: id,
        timestamp: Timestamp::from_micros(7),
        info: "{}",
        project: None,
        service: None,
    });
    let error = registry::open_writer(&connection)
        .and_then(|mut writer| writer.write(&batch))
        .expect_err("nothing is stored");
    assert!(error.is_temporary(), "{store}: {error:?}");
    assert_eq!(error.kind(), kind, "{store}: {error:?}");
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
}

#[test]
fn a_stranger_at_the_address_is_waited_out() {
    use ErrorKind::{Corrupt, Unavailable};
    for (store, kind) in [
        ("messaging://u:s3cret@127.0.0.1:PORT/", Corrupt),
        (
            "mongodb://u:s3cret@127.0.0.1:PORT/?connect_timeout=1",
            Corrupt,
        ),
        ("mysql://u:s3cret@127.0.0.1:PORT/d", Corrupt),
        // The client takes it for a message that is cut off.
        (
            "postgresql://u:s3cret@127.0.0.1:PORT/d?sslmode=disable",
            Unavailable,
        ),
        ("redis://u:s3cret@127.0.0.1:PORT/0", Corrupt),
    ] {
        check(store, PROXY, kind);
    }
}

#[test]
fn a_user_whom_the_server_does_not_know_is_waited_out() {
    for (store, answer) in [
        (
            "mysql://u:s3cret@127.0.0.1:PORT/d",
            &b"\x1a\0\0\0\xff\x15\x04#28000Access denied for"[..],
        ),
        (
            "postgresql://u:s3cret@127.0.0.1:PORT/d?sslmode=disable",
            b"E\0\0\0\x17SFATAL\0C28P01\0Mno\0\0",
        ),
        (
            "redis://u:s3cret@127.0.0.1:PORT/0",
            b"-WRONGPASS invalid username-password pair\r\n",
        ),
    ] {
        check(store, answer, ErrorKind::Denied);
    }
}
