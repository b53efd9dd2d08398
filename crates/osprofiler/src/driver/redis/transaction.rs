// SPDX-License-Identifier: Apache-2.0
//! A transaction in Redis' own form, sent while it is still being made, so that client and server work at once.
//!
//! In: commands, and whether they have to succeed. Out, once the server has done all of them: their answers, or those whose key
//! is somebody else's, or the first error of another kind.
//! A transaction that is dropped half-way has done nothing: the server forgets it with the connection. The client's own
//! is not used: it copies more, tells no reason of a refusal, and panics where `MULTI` itself is refused.

use ::redis::{Connection, ErrorKind, RedisError, RedisResult, Value};

/// How much is sent at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Whether a command has to succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Its error is the transaction's.
    Must,
    /// It may fail.
    May,
}

/// Commands between `MULTI` and `EXEC`.
pub(super) struct Transaction<'a> {
    connection: &'a mut Connection,
    /// What is not sent yet.
    bytes: Vec<u8>,
    needs: Vec<Need>,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(connection: &'a mut Connection) -> Self {
        let mut transaction = Self {
            connection,
            bytes: Vec::new(),
            needs: Vec::new(),
        };
        transaction.push_command(&["MULTI"], 0);
        transaction
    }

    /// Adds a command and returns its number. `more` arguments are still to come, by [`argument`](Self::argument).
    pub(super) fn command(&mut self, need: Need, parts: &[&str], more: usize) -> usize {
        self.needs.push(need);
        self.push_command(parts, more);
        self.needs.len() - 1
    }

    /// Adds an argument of the last command.
    pub(super) fn argument(&mut self, argument: &[u8]) -> RedisResult<()> {
        self.push_argument(argument);
        if self.bytes.len() >= CHUNK_BYTES {
            self.connection.send_packed_command(&self.bytes)?;
            self.bytes.clear();
        }
        Ok(())
    }

    /// Has the server do all of it. Returns the numbers of the commands that had to succeed and did not because their keys hold
    /// what we never put there; the others are done all the same.
    pub(super) fn execute(self) -> RedisResult<Vec<usize>> {
        let needs = self.needs.clone();
        let answers = self.answers()?.into_iter().zip(needs).enumerate();
        let refused = answers.filter(|(_, (answer, need))| {
            matches!(answer, Value::ServerError(_)) && *need == Need::Must
        });
        Ok(refused.map(|(number, _)| number).collect())
    }

    /// Has the server do all of it. Returns what it answers to each command; of those that had to succeed, an error only where
    /// the key holds what we never put there.
    pub(super) fn answers(mut self) -> RedisResult<Vec<Value>> {
        self.push_command(&["EXEC"], 0);
        self.connection.send_packed_command(&self.bytes)?;
        // `MULTI`, and each command being queued; a refusal here has a reason, that of `EXEC` has none.
        for _ in 0..=self.needs.len() {
            self.connection.recv_response()?.extract_error()?;
        }
        let answers = match self.connection.recv_response()? {
            Value::Array(answers) if answers.len() == self.needs.len() => answers,
            Value::ServerError(error) => return Err(error.into()),
            _ => {
                let text = "a transaction has another number of answers";
                return Err((ErrorKind::UnexpectedReturnType, text).into());
            }
        };
        for (answer, need) in answers.iter().zip(&self.needs) {
            match answer {
                Value::ServerError(error) if *need == Need::Must && error.code() != "WRONGTYPE" => {
                    return Err(RedisError::from(error.clone()));
                }
                _ => {}
            }
        }
        Ok(answers)
    }

    fn push_command(&mut self, parts: &[&str], more: usize) {
        self.push_number(b'*', parts.len() + more);
        for part in parts {
            self.push_argument(part.as_bytes());
        }
    }

    fn push_argument(&mut self, argument: &[u8]) {
        self.push_number(b'$', argument.len());
        self.bytes.extend_from_slice(argument);
        self.bytes.extend_from_slice(b"\r\n");
    }

    fn push_number(&mut self, kind: u8, number: usize) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(number.to_string().as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }
}
