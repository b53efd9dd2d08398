// SPDX-License-Identifier: Apache-2.0
//! What a real server cannot be brought to do: a stand-in answers each command as the test says. Everything else is tested on
//! real servers, in the folder `tests/`.

use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use mongodb::bson::{Bson, Document, doc};

use super::*;
use crate::{ErrorKind, Notification};

/// What is answered to a command; `None` leaves it without an answer.
type Answer = dyn FnMut(&Document) -> Option<Document> + Send;

/// A stand-in, and the commands that it was sent but for greetings.
struct StandIn {
    port: u16,
    commands: Arc<Mutex<Vec<Document>>>,
}

impl StandIn {
    fn new(answer: impl FnMut(&Document) -> Option<Document> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let commands = Arc::<Mutex<Vec<Document>>>::default();
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(answer));
        let heard = Arc::clone(&commands);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (answer, heard) = (Arc::clone(&answer), Arc::clone(&heard));
                std::thread::spawn(move || serve(connection, &answer, &heard));
            }
        });
        Self { port, commands }
    }

    fn writer(&self) -> MongodbWriter {
        let text = format!("mongodb://127.0.0.1:{}/?socket_timeout=0.5", self.port);
        MongodbWriter::new(&ConnectionString::parse(&text).unwrap()).unwrap()
    }

    /// The names of the commands in order.
    fn names(&self) -> Vec<String> {
        let commands = self.commands.lock().unwrap();
        commands.iter().map(name).collect()
    }

    /// The `_id`s of each insert.
    fn inserted(&self) -> Vec<Vec<Bson>> {
        let commands = self.commands.lock().unwrap();
        let inserts = commands.iter().filter(|command| name(command) == "insert");
        inserts.map(ids).collect()
    }
}

fn name(command: &Document) -> String {
    command.keys().next().unwrap().clone()
}

fn ids(insert: &Document) -> Vec<Bson> {
    let documents = insert.get_array("documents").unwrap();
    let id = |one: &Bson| one.as_document().unwrap().get("_id").unwrap().clone();
    documents.iter().map(id).collect()
}

fn serve(mut connection: TcpStream, answer: &Mutex<Answer>, heard: &Mutex<Vec<Document>>) {
    while let Some((header, command)) = read(&mut connection) {
        let reply = if name(&command).eq_ignore_ascii_case("hello")
            || name(&command).eq_ignore_ascii_case("ismaster")
        {
            Some(doc! {
                "ok": 1, "ismaster": true, "isWritablePrimary": true, "helloOk": true,
                "minWireVersion": 0, "maxWireVersion": 21, "maxBsonObjectSize": 16 << 20,
                "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000,
            })
        } else {
            heard.lock().unwrap().push(command.clone());
            (answer.lock().unwrap())(&command)
        };
        if let Some(reply) = reply {
            send(&mut connection, header, &reply);
        }
    }
}

/// The number of a message and its kind, and its command with the documents that were sent beside it in their place.
fn read(connection: &mut TcpStream) -> Option<([i32; 2], Document)> {
    let mut header = [0; 16];
    connection.read_exact(&mut header).ok()?;
    let number = |at: usize| i32::from_le_bytes(header[at..at + 4].try_into().unwrap());
    let mut body = vec![0; number(0) as usize - 16];
    connection.read_exact(&mut body).ok()?;
    let document = |from: &[u8]| Document::from_reader(from).unwrap();
    let kind = number(12);
    // The flags; of an old query, the collection's name and two numbers.
    let mut rest = &body[4..];
    if kind == 2004 {
        let end = rest.iter().position(|&byte| byte == 0).unwrap();
        return Some(([number(4), kind], document(&rest[end + 9..])));
    }
    let mut command = Document::new();
    while let Some((&section, after)) = rest.split_first() {
        let size = i32::from_le_bytes(after[..4].try_into().unwrap()) as usize;
        let (content, after) = after.split_at(size);
        rest = after;
        if section == 0 {
            command.extend(document(content));
            continue;
        }
        let end = content[4..].iter().position(|&byte| byte == 0).unwrap() + 4;
        let mut documents = Vec::new();
        let mut left = &content[end + 1..];
        while !left.is_empty() {
            documents.push(Bson::Document(Document::from_reader(&mut left).unwrap()));
        }
        let key = String::from_utf8_lossy(&content[4..end]).into_owned();
        command.insert(key, documents);
    }
    Some(([number(4), kind], command))
}

fn send(connection: &mut TcpStream, [to, kind]: [i32; 2], reply: &Document) {
    let mut body = Vec::new();
    let kind = if kind == 2004 {
        for number in [8, 0, 0, 0, 1] {
            body.extend(i32::to_le_bytes(number));
        }
        1
    } else {
        body.extend([0; 5]);
        2013
    };
    reply.to_writer(&mut body).unwrap();
    let mut message = Vec::new();
    for number in [body.len() as i32 + 16, 1, to, kind] {
        message.extend(number.to_le_bytes());
    }
    message.extend(body);
    // A client that has given up has closed it.
    let _ = connection.write_all(&message);
}

/// As many notifications, each of a trace of its own, and with that info.
fn batch(len: u128, info: &str) -> Notifications {
    let mut batch = Notifications::default();
    for number in 1..=len {
        let id = Id::from_u128(number);
        batch.push(&Notification {
            name: "db-stop",
            base_id: id,
            trace_id: id,
            parent_id: id,
            timestamp: Timestamp::from_micros(7),
            info,
            project: None,
            service: None,
        });
    }
    batch
}

fn done(command: &Document) -> Document {
    let n = command.get_array("documents").map_or(1, Vec::len);
    doc! { "ok": 1, "n": n as i32 }
}

#[test]
fn a_batch_is_stored_whatever_its_indexes_take() {
    let server = StandIn::new(|command| (name(command) != "createIndexes").then(|| done(command)));
    let mut writer = server.writer();
    writer.write(&batch(1, "{}")).unwrap();
    writer.write(&batch(1, "{}")).unwrap();
    let names = ["insert", "createIndexes", "createIndexes", "insert"];
    assert_eq!(server.names(), names);
}

#[test]
fn a_batch_that_comes_again_goes_on_where_it_was_with_the_same_ids() {
    let mut inserts = 0;
    let server = StandIn::new(move |command| {
        inserts += usize::from(name(command) == "insert");
        (inserts != 2).then(|| done(command))
    });
    let (mut writer, first) = (server.writer(), batch(INSERT_LEN as u128 + 5, "{}"));
    let error = writer.write(&first).unwrap_err();
    assert!(error.is_temporary());
    writer.write(&first).unwrap();
    let inserted = server.inserted();
    let lens: Vec<_> = inserted.iter().map(Vec::len).collect();
    assert_eq!(lens, [INSERT_LEN, 5, 5]);
    assert_eq!(inserted[1], inserted[2]);
}

#[test]
fn another_batch_after_one_that_failed_has_ids_of_its_own() {
    let mut inserts = 0;
    let server = StandIn::new(move |command| {
        inserts += usize::from(name(command) == "insert");
        (inserts != 1).then(|| done(command))
    });
    let mut writer = server.writer();
    writer.write(&batch(3, "{}")).unwrap_err();
    writer.write(&batch(2, "{}")).unwrap();
    let inserted = server.inserted();
    assert_eq!(inserted[1].len(), 2);
    assert!(!inserted[0].contains(&inserted[1][0]));
}

#[test]
fn inserts_are_of_bounded_size() {
    let server = StandIn::new(|command| Some(done(command)));
    let info = format!(r#"{{"a": "{}"}}"#, "x".repeat(1 << 20));
    server.writer().write(&batch(10, &info)).unwrap();
    let lens: Vec<_> = server.inserted().iter().map(Vec::len).collect();
    assert_eq!(lens, [4, 4, 2]);
}

#[test]
fn what_too_few_servers_have_comes_again() {
    let concern = || doc! { "code": 64, "errmsg": "waiting for replication timed out" };
    let mut inserts = 0;
    let server = StandIn::new(move |command| {
        let mut reply = done(command);
        inserts += usize::from(name(command) == "insert");
        if inserts < 2 {
            reply.insert("writeConcernError", concern());
        }
        Some(reply)
    });
    let mut writer = server.writer();
    let error = writer.write(&batch(1, "{}")).unwrap_err();
    assert_eq!(
        (error.kind(), error.is_temporary()),
        (ErrorKind::Unavailable, true)
    );
    assert!(error.to_string().contains("too few servers"), "{error}");
    writer.write(&batch(1, "{}")).unwrap();
    assert_eq!(server.inserted()[0], server.inserted()[1]);
}

#[test]
fn indexes_that_take_long_are_asked_for_again_later() {
    let server = StandIn::new(|command| (name(command) != "createIndexes").then(|| done(command)));
    let mut writer = server.writer();
    writer.write(&batch(1, "{}")).unwrap();
    writer.prepared.insert(NOTIFICATIONS, Some(Instant::now()));
    writer.write(&batch(1, "{}")).unwrap();
    let asked = server.names();
    let asked = asked.iter().filter(|name| *name == "createIndexes");
    assert_eq!(asked.count(), 4);
}

#[test]
fn indexes_that_a_server_cannot_make_for_now_are_asked_for_by_the_next_batch() {
    for (code, asked) in [(10_107, 3), (13, 2)] {
        let mut refused = 0;
        let server = StandIn::new(move |command| {
            if name(command) == "createIndexes" && refused == 0 {
                refused += 1;
                return Some(doc! { "ok": 0, "code": code, "errmsg": "no" });
            }
            Some(done(command))
        });
        let mut writer = server.writer();
        for _ in 0..3 {
            writer.write(&batch(1, "{}")).unwrap();
        }
        let names = server.names();
        let indexes = names.iter().filter(|name| *name == "createIndexes");
        assert_eq!(indexes.count(), asked, "{code}");
    }
}

#[test]
fn a_loss_that_is_told_again_counts_once_and_the_next_one_counts_up() {
    let mut updates = 0;
    let server = StandIn::new(move |command| {
        updates += usize::from(name(command) == "update");
        (updates != 1).then(|| done(command))
    });
    let mut writer = server.writer();
    let loss = Loss {
        count: 5,
        reason: LossReason::QueueFull,
    };
    writer.write_loss(None, loss).unwrap_err();
    writer.write_loss(None, loss).unwrap();
    writer.write_loss(None, loss).unwrap();
    let commands = server.commands.lock().unwrap();
    let updates = commands.iter().filter(|command| name(command) == "update");
    let updates: Vec<_> = updates
        .map(|command| {
            let update = command.get_array("updates").unwrap()[0]
                .as_document()
                .unwrap();
            let count = update
                .get_document("u")
                .and_then(|change| change.get_document("$max"))
                .and_then(|most| most.get_i64("count"));
            (update.get_document("q").unwrap().clone(), count.unwrap())
        })
        .collect();
    assert_eq!(updates[0], updates[1]);
    assert_eq!(updates[1].0, updates[2].0);
    assert_eq!((updates[1].1, updates[2].1), (5, 10));
}

#[test]
fn what_is_counted_or_listed_on_too_few_servers_comes_again() {
    let server = StandIn::new(|command| {
        let mut reply = done(command);
        if name(command) == "update" {
            let concern = doc! { "code": 64, "errmsg": "waiting for replication timed out" };
            reply.insert("writeConcernError", concern);
        }
        Some(reply)
    });
    let mut writer = server.writer();
    let failed = batch(1, r#"{"etype": "ValueError"}"#);
    let error = writer.write(&failed).unwrap_err();
    assert!(error.is_temporary(), "{error}");
    let loss = Loss {
        count: 1,
        reason: LossReason::QueueFull,
    };
    let error = writer.write_loss(None, loss).unwrap_err();
    assert!(error.is_temporary(), "{error}");
}

#[test]
fn what_is_refused_is_told_to_the_store_at_once() {
    let server = StandIn::new(|command| {
        let mut reply = done(command);
        if name(command) == "update" {
            return None;
        }
        if name(command) == "insert" {
            let documents = command.get_array("documents").unwrap().len() as i32;
            let refused = |index: i32| doc! { "index": index, "code": 121, "errmsg": "no" };
            // All but the last, the first time and the second.
            let count = if documents == 5 { 4 } else { 3 };
            let errors: Vec<_> = (0..count).map(refused).collect();
            reply.insert("writeErrors", errors);
        }
        Some(reply)
    });
    let mut writer = server.writer();
    writer.write(&batch(5, "{}")).unwrap();
    let refused = Loss {
        count: 3,
        reason: LossReason::Refused,
    };
    assert_eq!(writer.take_losses(), [refused]);
    let updates = server
        .names()
        .iter()
        .filter(|name| *name == "update")
        .count();
    assert_eq!(updates, 1);
}
