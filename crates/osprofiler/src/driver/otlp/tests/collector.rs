// SPDX-License-Identifier: Apache-2.0
//! A stand-in for a collector's HTTP receiver, which answers as it is told: what no real one does when it is wanted.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::shown;

/// How a request is answered: the whole answer as it goes over the wire, or its end alone.
pub(super) enum Say {
    /// `200`, with an `ExportTraceServiceResponse`.
    Taken(&'static [u8]),
    /// That status line, further header lines, and no body.
    Status(&'static str, &'static str),
    /// These bytes, whatever they are.
    Bytes(&'static [u8]),
    /// Nothing; the connection ends.
    Nothing,
}

/// A collector that answers one request after the other, over as many connections as it takes, and then none any more.
pub(super) struct Collector {
    /// `host:port`.
    pub(super) address: String,
    requests: Receiver<(String, Vec<u8>)>,
}

impl Collector {
    pub(super) fn new(answers: Vec<Say>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, requests) = channel();
        thread::spawn(move || {
            let mut answers = answers.into_iter().peekable();
            while answers.peek().is_some() {
                let (socket, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(socket.try_clone().unwrap());
                let mut socket = socket;
                while let Some(request) = read(&mut reader) {
                    let Some(answer) = answers.next() else { break };
                    sender.send(request).unwrap();
                    match answer {
                        Say::Taken(body) => {
                            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length";
                            write!(socket, "{head}: {}\r\n\r\n", body.len()).unwrap();
                            socket.write_all(body).unwrap();
                        }
                        Say::Status(status, headers) => {
                            let end = "content-length: 0\r\n\r\n";
                            write!(socket, "HTTP/1.1 {status}\r\n{headers}{end}").unwrap();
                        }
                        Say::Bytes(bytes) => {
                            socket.write_all(bytes).unwrap();
                            break;
                        }
                        Say::Nothing => break,
                    }
                    if answers.peek().is_none() {
                        break;
                    }
                }
            }
        });
        Self { address, requests }
    }

    /// The head and the spans of the next request that came. Waits for it.
    pub(super) fn request(&self) -> (String, Vec<String>) {
        let (head, body) = self.requests.recv().expect("a request has come");
        (head, shown::spans(&body))
    }

    /// How many requests have come that nobody has looked at.
    pub(super) fn unseen(&self) -> usize {
        self.requests.try_iter().count()
    }
}

fn read(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(0) | Err(_) => return None,
            Ok(_) if line == "\r\n" => break,
            Ok(_) => head.push_str(&line.to_ascii_lowercase()),
        }
    }
    let length = head.split("content-length: ").nth(1)?.lines().next()?;
    let mut body = vec![0; length.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}
