// SPDX-License-Identifier: Apache-2.0
//! What becomes of names and call sites that find the recorder's tables full: names travel as bytes, what has no number is
//! counted as lost, and what was there before goes on.
//!
//! The tables are one a process and never emptied, so this test has a process of its own.

use osprofiler::recorder::{
    Context, Name, Origin, Part, Point, Site, Sweeper, recorded, take_losses,
};
use osprofiler::{LossReason, point, stop};

/// What the table of names promises to hold.
const NAMES: usize = 65_536;

/// The names of what was recorded, and the infos.
fn swept() -> Vec<(String, String)> {
    let mut seen = Vec::new();
    Sweeper::new().sweep(&mut |event| {
        let mut info = String::new();
        event.info.push_json("h", &mut info);
        seen.push((event.name.to_owned(), info));
    });
    seen
}

#[test]
fn a_full_table_costs_names_their_numbers_and_new_call_sites_their_points() {
    let origin = Origin::register(Some("shop"), Some("tables"), "h").unwrap();
    let _trace = Context::new_trace(origin).attach();
    let early = || point!("early", {"a": 1});
    drop(early());

    let mut interned = Vec::new();
    for number in 0..2 * NAMES {
        interned.extend(Name::intern(&format!("name-{number}")));
    }
    assert_eq!(interned.len(), NAMES);
    assert_eq!(Name::intern(interned[0].text()), Some(interned[0]));
    assert_eq!(Name::intern("one too many"), None);
    swept();
    drop(Point::named("one too many"));
    let bare = r#"{"host": "h"}"#.to_owned();
    let one_too_many = ("one too many".to_owned(), bare.clone());
    assert_eq!(swept(), [one_too_many.clone(), one_too_many]);

    // Call sites, until there is no room for them either.
    let parts: &[Part] = &[];
    let mut entered = 0;
    let lost = |reason| {
        let mut lost = 0;
        take_losses(&mut |_, loss| {
            assert_eq!(loss.reason, reason);
            lost += loss.count;
        });
        lost
    };
    while lost(LossReason::MemoryFull) == 0 {
        drop(Point::at(Box::leak(Box::new(Site::new("site", parts)))));
        assert!(swept().iter().all(|(name, _)| name == "site"));
        entered += 1;
        assert!(entered <= 2 * NAMES);
    }
    assert!(entered > NAMES - 100, "{entered}");

    let before = recorded();
    let here = Context::capture().current_id().map(|id| id.to_string());
    {
        let late = point!("late", {"a": 1});
        // What lies within a point that has no room is recorded, and an info whose shape has none is left out.
        stop!(early(), {"b": 1});
        stop!(late, {"b": 1});
    }
    assert_eq!(
        Context::capture().current_id().map(|id| id.to_string()),
        here
    );
    let seen = swept();
    assert_eq!(
        seen,
        [
            ("early".to_owned(), r#"{"a": 1, "host": "h"}"#.to_owned()),
            ("early".to_owned(), bare)
        ]
    );
    assert_eq!(lost(LossReason::MemoryFull), 2);
    assert_eq!(recorded() - before, 4);
}
