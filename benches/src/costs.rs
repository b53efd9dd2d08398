// SPDX-License-Identifier: Apache-2.0
//! The costs that the documentation of the recorder's functions names, each beside the number it rests on.
//!
//! A line is one function, called 1,024 times a round; nothing is compared with a peer. Points are within a trace.

use std::hint::black_box;
use std::time::SystemTime;

use osprofiler::recorder::{
    Context, InfoSource, Name, Origin, Point, clock, display, new_id, record,
};
use osprofiler::{Id, Kind, point};

use crate::Outcome;
use crate::program::{POINTS, origin};
use crate::record::{in_trace, nothing};
use crate::rounds::{Side, compare, head, line, print};
use crate::swept::{keep_pace, while_swept};

/// Makes a function that does something 1,024 times.
macro_rules! repeated {
    ($body:expr) => {
        || {
            for _ in 0..POINTS {
                let _ = black_box($body);
            }
        }
    };
}

const UUID: Id<'_> = Id::from_u128(0x4e3e_0ec6_2938_40b1_8504_09eb_1d4b_0dee);

fn text_id() -> Id<'static> {
    Id::parse("request-17").unwrap_or(UUID)
}

/// A trace whose id is a text, around the run.
fn in_text_trace() -> Box<dyn std::any::Any> {
    keep_pace(100_000);
    Box::new(Context::from_ids(origin(), text_id(), UUID).attach())
}

fn recorded(id: Id<'_>, info: InfoSource<'_>) {
    thread_local!(static ORIGIN: Origin = origin());
    let origin = ORIGIN.with(|origin| *origin);
    let Some(name) = NAME.with(|name| *name) else {
        return;
    };
    record(origin, Kind::Start, name, UUID, id, UUID, info);
}

thread_local!(static NAME: Option<Name> = Name::intern("cost"));

/// A name, what to set up, and the calls.
type Case = (&'static str, fn() -> Box<dyn std::any::Any>, fn());

#[expect(clippy::unnecessary_wraps, reason = "the signature of a bench")]
pub(crate) fn run() -> Outcome<String> {
    let cases: [Case; 18] = [
        ("clock::ticks", nothing, repeated!(clock::ticks())),
        (
            "the system's clock, for comparison",
            nothing,
            repeated!(SystemTime::now()),
        ),
        ("Calibration::update", nothing, || {
            let mut calibration = clock::Calibration::new();
            for _ in 0..POINTS {
                black_box(&mut calibration).update();
            }
        }),
        ("new_id", nothing, repeated!(new_id())),
        (
            "Name::intern, known",
            nothing,
            repeated!(Name::intern(black_box("cost"))),
        ),
        ("Context::new_trace", nothing, || {
            let origin = origin();
            for _ in 0..POINTS {
                black_box(Context::new_trace(origin));
            }
        }),
        ("Context::from_ids, numbers", nothing, || {
            let origin = origin();
            for _ in 0..POINTS {
                black_box(Context::from_ids(origin, UUID, UUID));
            }
        }),
        ("Context::from_ids, a text", nothing, || {
            let (origin, id) = (origin(), text_id());
            for _ in 0..POINTS {
                black_box(Context::from_ids(origin, id, UUID));
            }
        }),
        ("Context::capture", in_trace, repeated!(Context::capture())),
        ("attach and detach", in_trace, || {
            let context = Context::capture();
            for _ in 0..POINTS {
                drop(black_box(context.clone().attach()));
            }
        }),
        (
            "record",
            in_trace,
            repeated!(recorded(UUID, InfoSource::None)),
        ),
        (
            "record, JSON of 20 bytes",
            in_trace,
            repeated!(recorded(UUID, InfoSource::Json(r#"{"key": "some text"}"#))),
        ),
        (
            "record, a text id",
            in_trace,
            repeated!(recorded(text_id(), InfoSource::None)),
        ),
        ("point!", in_trace, repeated!(point!("cost"))),
        (
            "point!, a number",
            in_trace,
            repeated!(point!("cost", {"number": black_box(17)})),
        ),
        (
            "point!, a value by its Display",
            in_trace,
            repeated!(point!("cost", {"number": display(black_box(17))})),
        ),
        (
            "Point::named",
            in_trace,
            repeated!(Point::named(black_box("cost"))),
        ),
        (
            "point!, in a trace whose id is a text",
            in_text_trace,
            repeated!(point!("cost")),
        ),
    ];
    head("ns a call");
    let events = while_swept(
        |_| {},
        || {
            for (name, set_up, run) in cases {
                let [cost] = compare(POINTS, [&Side { set_up, run }]);
                line(name, cost, None, "");
            }
        },
    );
    print("");
    Ok(format!("swept {events} events, lost 0"))
}
