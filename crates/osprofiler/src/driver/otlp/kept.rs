// SPDX-License-Identifier: Apache-2.0
//! A notification that is kept beyond its batch: with texts of its own, and nothing around them.

use crate::{Id, Notification, Timestamp};

pub(super) struct Kept {
    base_id: KeptId,
    trace_id: KeptId,
    parent_id: KeptId,
    timestamp: Timestamp,
    name: Box<str>,
    info: Box<str>,
    project: Option<Box<str>>,
    service: Option<Box<str>>,
}

enum KeptId {
    Uuid(u128),
    Text(Box<str>),
}

impl Kept {
    pub(super) fn new(notification: &Notification<'_>) -> Self {
        Self {
            base_id: KeptId::new(notification.base_id),
            trace_id: KeptId::new(notification.trace_id),
            parent_id: KeptId::new(notification.parent_id),
            timestamp: notification.timestamp,
            name: notification.name.into(),
            info: notification.info.into(),
            project: notification.project.map(Box::from),
            service: notification.service.map(Box::from),
        }
    }

    pub(super) fn notification(&self) -> Notification<'_> {
        Notification {
            name: &self.name,
            base_id: self.base_id.id(),
            trace_id: self.trace_id.id(),
            parent_id: self.parent_id.id(),
            timestamp: self.timestamp,
            info: &self.info,
            project: self.project.as_deref(),
            service: self.service.as_deref(),
        }
    }

    /// What it takes in memory, but for what allocations cost beside.
    pub(super) fn size_bytes(&self) -> usize {
        let ids = [&self.base_id, &self.trace_id, &self.parent_id];
        let ids = ids.into_iter().map(|id| match id {
            KeptId::Uuid(_) => 0,
            KeptId::Text(text) => text.len(),
        });
        size_of::<Self>() + self.notification().text_bytes() + ids.sum::<usize>()
    }
}

impl KeptId {
    fn new(id: Id<'_>) -> Self {
        match (id.as_u128(), id.as_text()) {
            (Some(number), _) => Self::Uuid(number),
            (None, text) => Self::Text(text.unwrap_or_default().into()),
        }
    }

    fn id(&self) -> Id<'_> {
        match self {
            Self::Uuid(number) => Id::from_u128(*number),
            // It came from an id, so it is one.
            Self::Text(text) => Id::parse(text).unwrap_or(Id::from_u128(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_comes_back_as_it_was() {
        let mut notification = Notification {
            name: "x-start",
            base_id: Id::parse("4e3e0ec6-2938-40b1-8504-09eb1d4b0dee").unwrap(),
            trace_id: Id::parse("ключ").unwrap(),
            parent_id: Id::parse("P").unwrap(),
            timestamp: Timestamp::from_micros(7),
            info: r#"{"a": 1}"#,
            project: Some("shop"),
            service: None,
        };
        for _ in 0..2 {
            let kept = Kept::new(&notification);
            assert_eq!(kept.notification(), notification);
            assert!(kept.size_bytes() >= size_of::<Kept>() + notification.text_bytes() + 9);
            (notification.project, notification.service) = (None, Some(""));
        }
    }
}
