// SPDX-License-Identifier: Apache-2.0
//! A driver that keeps notifications in this process: the least that passes the conformance suite, and its example.
//!
//! `memory:///name` is the store of that name; it lives until the process ends.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use osprofiler::driver::registry::{Capability, Implementation};
use osprofiler::driver::{
    ConnectionString, ListFilter, Pruner, ReadSummary, Reader, TraceSummary, Writer,
};
use osprofiler::{Id, Loss, Notifications, Result, wire};

/// What the registry would say of this driver.
pub const IMPLEMENTATION: Implementation = Implementation {
    capabilities: &[
        Capability::Read,
        Capability::List,
        Capability::ListErrors,
        Capability::Losses,
        Capability::Prunes,
    ],
    options: &[],
    client_options: &[],
    example: "memory:///test",
    open_writer: |connection| Ok(Box::new(Memory(store(connection)))),
    open_reader: |connection| Ok(Box::new(Memory(store(connection)))),
    open_pruner: Some(|connection| Ok(Box::new(Memory(store(connection))))),
};

#[derive(Default)]
struct Store {
    notifications: Notifications,
    losses: Vec<(Option<String>, Loss)>,
}

struct Memory(Arc<Mutex<Store>>);

fn store(connection: &ConnectionString) -> Arc<Mutex<Store>> {
    static STORES: LazyLock<Mutex<HashMap<String, Arc<Mutex<Store>>>>> =
        LazyLock::new(Mutex::default);
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(stores.entry(connection.path().to_owned()).or_default())
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer for Memory {
    fn write(&mut self, batch: &Notifications) -> Result<()> {
        self.lock().notifications.extend(batch.iter());
        Ok(())
    }

    fn write_loss(&mut self, base_id: Option<Id<'_>>, loss: Loss) -> Result<()> {
        let base_id = base_id.map(|id| id.to_string());
        self.lock().losses.push((base_id, loss));
        Ok(())
    }

    fn take_losses(&mut self) -> Vec<Loss> {
        Vec::new()
    }
}

impl Reader for Memory {
    fn read(&mut self, base_id: Id<'_>, notifications: &mut Notifications) -> Result<ReadSummary> {
        let store = self.lock();
        let of_trace = store.notifications.iter();
        notifications.extend(of_trace.filter(|notification| notification.base_id == base_id));
        let mut summary = ReadSummary::default();
        let text = base_id.to_string();
        for (id, loss) in &store.losses {
            if id.as_deref() == Some(&*text) {
                summary.add_loss(*loss);
            }
        }
        Ok(summary)
    }

    fn list(&mut self, filter: ListFilter, each: &mut dyn FnMut(TraceSummary<'_>)) -> Result<u64> {
        let store = self.lock();
        let mut traces: Vec<TraceSummary<'_>> = Vec::new();
        for notification in store.notifications.iter() {
            if filter == ListFilter::WithErrors && !wire::has_error(&notification) {
                continue;
            }
            match traces
                .iter_mut()
                .find(|trace| trace.base_id == notification.base_id)
            {
                Some(trace) => trace.timestamp = trace.timestamp.min(notification.timestamp),
                None => traces.push(TraceSummary {
                    base_id: notification.base_id,
                    timestamp: notification.timestamp,
                }),
            }
        }
        traces.sort_by_key(|trace| trace.timestamp);
        traces.into_iter().for_each(each);
        Ok(0)
    }
}

impl Pruner for Memory {
    fn remove(&mut self, traces: &[Id<'_>]) -> Result<u64> {
        let mut store = self.lock();
        let mut removed = HashSet::new();
        let before = std::mem::take(&mut store.notifications);
        for notification in before.iter() {
            if traces.contains(&notification.base_id) {
                removed.insert(notification.base_id.to_string());
            } else {
                store.notifications.push(&notification);
            }
        }
        store.losses.retain(|(trace, _)| {
            let id = trace.as_deref().and_then(|text| Id::parse(text).ok());
            let goes = id.is_some_and(|id| traces.contains(&id));
            if goes {
                removed.extend(trace.clone());
            }
            !goes
        });
        Ok(removed.len() as u64)
    }
}
