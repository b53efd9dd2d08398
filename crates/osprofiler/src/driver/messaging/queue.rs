// SPDX-License-Identifier: Apache-2.0
//! The exchange and the queue that notifications go through: looked for first, and made only where there is none.
//!
//! Other services may have made them, durable or not, classic or quorum, and a broker refuses to declare anew what is another
//! kind. So what is there is taken as it is; what is missing is made as oslo.messaging makes it with the same options.

use super::connection::{Answer, Connection, EXCHANGE_DECLARE, Fault, QUEUE_BIND, QUEUE_DECLARE};
use super::frame::{self, MethodId, Value};
use super::{Declaration, Settings};
use crate::Result;

/// The broker's number for what is not there.
const NOT_FOUND: u16 = 404;
/// Its number for what is there and of another kind.
const ANOTHER_KIND: u16 = 406;

// How something is declared, each a bit.
const PASSIVE: u8 = 1;
const DURABLE: u8 = 1 << 1;
const EXCHANGE_AUTO_DELETE: u8 = 1 << 2;
const EXCLUSIVE: u8 = 1 << 2;
const QUEUE_AUTO_DELETE: u8 = 1 << 3;

/// Sees to it that the exchange, the queue and the way from one to the other are there.
pub(super) fn prepare(connection: &mut Connection, settings: &Settings) -> Result<()> {
    let (queue, exchange) = (settings.queue(), &settings.exchange);
    let Declaration {
        is_durable,
        is_auto_deleted,
        quorum,
    } = settings.declaration;
    let durable = if is_durable { DURABLE } else { 0 };
    let auto_delete = |bit| if is_auto_deleted { bit } else { 0 };

    let exchange_bits = durable | auto_delete(EXCHANGE_AUTO_DELETE);
    find_or_make(connection, EXCHANGE_DECLARE, exchange_bits, |bits, out| {
        out.extend_from_slice(&[0; 2]);
        frame::push_short_text(exchange, out);
        frame::push_short_text("topic", out);
        out.push(bits);
        frame::push_table(&[], out);
    })
    .map_err(|fault| connection.error(&format!("use the exchange `{exchange}` of"), fault))?;

    let mut arguments = Vec::new();
    if let Some(quorum) = quorum {
        arguments.push(("x-queue-type", Value::Text("quorum")));
        for (name, limit) in [
            ("x-delivery-limit", quorum.delivery_limit),
            ("x-max-in-memory-length", quorum.max_memory_length),
            ("x-max-in-memory-bytes", quorum.max_memory_bytes),
        ] {
            if limit > 0 {
                arguments.push((name, Value::Number(limit)));
            }
        }
    }
    let queue_bits = durable | auto_delete(QUEUE_AUTO_DELETE);
    find_or_make(connection, QUEUE_DECLARE, queue_bits, |bits, out| {
        push_queue(&queue, bits, &arguments, out);
    })
    .map_err(|fault| connection.error(&format!("use the queue `{queue}` of"), fault))?;

    let bound = connection.ask(QUEUE_BIND, |out| {
        out.extend_from_slice(&[0; 2]);
        frame::push_short_text(&queue, out);
        frame::push_short_text(exchange, out);
        frame::push_short_text(&queue, out);
        out.push(0);
        frame::push_table(&[], out);
    });
    bound.map(drop).map_err(|fault| {
        let what = format!("bind the queue `{queue}` to the exchange `{exchange}` of");
        connection.error(&what, fault)
    })
}

/// Asks for what may be there; makes it if not. Another process may do the same, so it is asked for once more.
fn find_or_make(
    connection: &mut Connection,
    method: MethodId,
    bits: u8,
    declare: impl Fn(u8, &mut Vec<u8>),
) -> std::result::Result<(), Fault> {
    for (bits, expected) in [(PASSIVE, NOT_FOUND), (bits, ANOTHER_KIND)] {
        match connection.ask(method, |out| declare(bits, out)) {
            Ok(_) => return Ok(()),
            Err(Fault::Refused(refusal)) if refusal.code == expected => {
                connection.open_channel()?;
            }
            Err(fault) => return Err(fault),
        }
    }
    connection
        .ask(method, |out| declare(PASSIVE, out))
        .map(drop)
}

/// How many messages wait in the queue; `None` if there is no such queue.
pub(super) fn depth(
    connection: &mut Connection,
    queue: &str,
) -> std::result::Result<Option<u32>, Fault> {
    match connection.ask(QUEUE_DECLARE, |out| push_queue(queue, PASSIVE, &[], out)) {
        Ok(Answer::Queue { messages }) => Ok(Some(messages)),
        Ok(_) => Ok(Some(0)),
        Err(Fault::Refused(refusal)) if refusal.code == NOT_FOUND => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Makes a queue that only this connection can use and that goes with it; another one's is refused with
/// [`LOCKED`].
pub(super) fn lock(connection: &mut Connection, name: &str) -> std::result::Result<(), Fault> {
    let bits = EXCLUSIVE | QUEUE_AUTO_DELETE;
    connection
        .ask(QUEUE_DECLARE, |out| push_queue(name, bits, &[], out))
        .map(drop)
}

/// The broker's number for a queue that is another connection's.
pub(super) const LOCKED: u16 = 405;

fn push_queue(name: &str, bits: u8, arguments: &[(&'static str, Value)], out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 2]);
    frame::push_short_text(name, out);
    out.push(bits);
    frame::push_table(arguments, out);
}
