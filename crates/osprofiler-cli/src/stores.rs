// SPDX-License-Identifier: Apache-2.0
//! Several stores that hold the same traces: a question goes to one after the other until one has the answer.
//!
//! In: a list of connection strings, as services have it. A store that is written only is passed over without a word, one that
//! fails with a warning; it is a failure only if nobody answers. Whoever asked for all that there is says which stores were not
//! asked. A single store is a list of one.

use osprofiler::driver::registry::{self, Capability};
use osprofiler::driver::{ConnectionString, ConnectionStrings, Reader};

use crate::out::Broken;
use crate::printer::Printer;
use crate::{Failure, Session};

/// A store open for reading, and how messages name it.
pub(crate) struct Store {
    pub(crate) connection: ConnectionString,
    pub(crate) reader: Box<dyn Reader>,
}

/// Stores open for reading; at least one.
pub(crate) struct Stores {
    each: Vec<Store>,
    /// What those said that failed since the last [`tell`](Self::tell).
    failed: Vec<(ConnectionString, Failure)>,
    /// Whose answer the last question got; those after it were not asked.
    answered: Option<usize>,
}

/// What a store says.
pub(crate) enum Answer<T> {
    /// What was asked for.
    Here(T),
    /// It has nothing of the kind: another store is asked, and this counts if none has it.
    Nothing(T),
    /// It did not answer, and nothing of an answer was used: another store is asked.
    Failed(Failure),
}

impl Stores {
    /// Opens what can be read of the stores.
    pub(crate) fn open(
        connections: &ConnectionStrings,
        session: &mut Session<'_>,
    ) -> Result<Self, Failure> {
        for why in connections.refused() {
            session
                .printer
                .warning(&format!("one of the stores is left out: {why}"));
        }
        let mut stores = Self {
            each: Vec::new(),
            failed: Vec::new(),
            answered: None,
        };
        let mut write_only = None;
        for connection in connections.iter() {
            match registry::capabilities(connection) {
                Ok(abilities) if !abilities.contains(&Capability::Read) => {
                    write_only.get_or_insert(connection);
                }
                _ => stores.add(connection),
            }
        }
        if let (Some(connection), true) = (write_only, stores.each.is_empty()) {
            // The driver itself says best why.
            stores.add(connection);
        }
        if stores.each.is_empty() {
            return Err(stores.give_up(&mut session.printer));
        }
        stores.tell(&mut session.printer);
        Ok(stores)
    }

    /// Opens one store.
    pub(crate) fn of(connection: &ConnectionString) -> Result<Self, Failure> {
        let reader = registry::open_reader(connection)?;
        let connection = connection.clone();
        Ok(Self {
            each: vec![Store { connection, reader }],
            failed: Vec::new(),
            answered: None,
        })
    }

    fn add(&mut self, connection: &ConnectionString) {
        let connection = connection.clone();
        match registry::open_reader(&connection) {
            Ok(reader) => self.each.push(Store { connection, reader }),
            Err(error) => self.failed.push((connection, error.into())),
        }
    }

    /// Asks one store after the other. The result is the first answer, or else the first store's that has nothing, or else the
    /// first failure; [`tell`](Self::tell) says what failed beside that.
    pub(crate) fn ask<T>(
        &mut self,
        mut question: impl FnMut(&mut Store) -> Result<Answer<T>, Broken>,
    ) -> Result<T, Broken> {
        let mut nothing = None;
        self.answered = None;
        for (index, store) in self.each.iter_mut().enumerate() {
            match question(store)? {
                Answer::Here(answer) => {
                    self.answered = Some(index);
                    return Ok(answer);
                }
                Answer::Nothing(answer) => {
                    nothing.get_or_insert(answer);
                }
                Answer::Failed(failure) => self.failed.push((store.connection.clone(), failure)),
            }
        }
        nothing.ok_or_else(|| self.failed.remove(0).1.into())
    }

    /// Says which stores were asked and failed, and what reading does to one.
    pub(crate) fn tell(&mut self, printer: &mut Printer<'_>) {
        for store in &mut self.each {
            if let Some(warning) = store.reader.take_warning() {
                printer.warning(&warning);
            }
        }
        for (connection, failure) in self.failed.drain(..) {
            printer.passed_over(&connection, &failure);
        }
    }

    /// Says which stores may hold more of what was asked for, since another one answered before them.
    pub(crate) fn tell_unasked(&self, printer: &mut Printer<'_>) {
        let Some(answered) = self.answered else {
            return;
        };
        let (asked, unasked) = self.each.split_at(answered + 1);
        if let (Some(first), false) = (asked.last(), unasked.is_empty()) {
            printer.note(&format!(
                "not asked, since `{}` answered: {}; name one alone to ask it",
                first.connection,
                names(unasked)
            ));
        }
    }

    /// The failure of a list none of whose stores can be opened: the first one's; the others are said.
    fn give_up(&mut self, printer: &mut Printer<'_>) -> Failure {
        let (_, first) = self.failed.remove(0);
        self.tell(printer);
        first
    }

    /// What they are.
    pub(crate) fn connections(&self) -> impl Iterator<Item = &ConnectionString> {
        self.each.iter().map(|store| &store.connection)
    }

    /// The stores' names, for a message about all of them.
    pub(crate) fn names(&self) -> String {
        names(&self.each)
    }
}

fn names(stores: &[Store]) -> String {
    let names = stores.iter().map(|store| format!("`{}`", store.connection));
    names.collect::<Vec<_>>().join(", ")
}
