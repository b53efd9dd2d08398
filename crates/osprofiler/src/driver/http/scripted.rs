// SPDX-License-Identifier: Apache-2.0
//! A server for tests that answers as it is told: what no real one does when it is wanted.
//!
//! In: an answer for each request that is to come, in order. Out: the requests, as they came. After the last answer the connection ends,
//! and nobody listens any more.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// How a request is answered.
pub(in crate::driver) enum Say {
    /// With that status and body.
    Answer(u16, String),
    /// Not at all: the connection ends.
    Nothing,
}

/// A server that answers one request after the other, over as many connections as it takes.
pub(in crate::driver) struct Scripted {
    /// `host:port`.
    pub(in crate::driver) address: String,
    requests: Receiver<Request>,
}

/// A request, as it came.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::driver) struct Request {
    /// Such as `POST /path HTTP/1.1`.
    pub(in crate::driver) line: String,
    pub(in crate::driver) body: String,
}

impl Scripted {
    pub(in crate::driver) fn new(answers: Vec<Say>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, requests) = channel();
        thread::spawn(move || {
            let mut answers = answers.into_iter().peekable();
            while answers.peek().is_some() {
                let (mut socket, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(socket.try_clone().unwrap());
                while answers.peek().is_some()
                    && let Some(request) = read(&mut reader)
                {
                    // A test that has ended looks at none.
                    let _ = sender.send(request);
                    let Some(Say::Answer(status, body)) = answers.next() else {
                        break;
                    };
                    let head = format!(
                        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    // Who reads no further than it wants hangs up.
                    let _ = socket.write_all((head + &body).as_bytes());
                }
            }
        });
        Self { address, requests }
    }

    /// The next request that came. Waits for it.
    pub(in crate::driver) fn request(&self) -> Request {
        self.requests.recv().expect("a request has come")
    }
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line).ok()?;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        match header.trim().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?;
            }
            None if header.trim().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (line, body) = (line.trim().to_owned(), String::from_utf8(body).ok()?);
    (!line.is_empty()).then_some(Request { line, body })
}
