// SPDX-License-Identifier: Apache-2.0
//! A trace through services: what one signs, the next joins, and what is not valid joins nothing.
//!
//! Recorder and sweeper are one a process, so each test here holds a lock while it runs.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use osprofiler::config::HmacKeys;
use osprofiler::headers::{Caller, MAX_BYTES, TRACE_HMAC, TRACE_INFO, pack, sign};
use osprofiler::recorder::{Context, Origin, Sweeper, is_on};
use osprofiler::{Id, Kind, point};

static ALONE: Mutex<()> = Mutex::new(());

/// What the program's logger was given.
static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}", record.level(), record.args());
        LOGGED
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
    }

    fn flush(&self) {}
}

type Headers = HashMap<&'static str, Vec<u8>>;

fn origin(service: &str) -> Origin {
    Origin::register(Some("shop"), Some(service), "h").expect("the table of origins has room")
}

fn headers(info: impl AsRef<[u8]>, hmac: impl AsRef<[u8]>) -> Headers {
    HashMap::from([
        (TRACE_INFO, info.as_ref().to_owned()),
        (TRACE_HMAC, hmac.as_ref().to_owned()),
    ])
}

fn join<'k>(request: &Headers, keys: &'k HmacKeys) -> Option<Caller<'k>> {
    Caller::from_headers(origin("joined"), keys, |name| {
        request.get(name).map(Vec::as_slice)
    })
}

/// What a service does with a request, in a thread of its own: one point, and within it the rest of the way. Returns the headers of what
/// reached its end.
fn serve(request: Headers, way: &'static [(&'static str, &'static str)]) -> Headers {
    let Some(((service, keys), way)) = way.split_first() else {
        return request;
    };
    let work = move || {
        let keys = HmacKeys::parse(keys);
        let caller = Caller::from_headers(origin(service), &keys, |name| {
            request.get(name).map(Vec::as_slice)
        });
        let caller = caller.unwrap_or_default();
        let _trace = caller.context.attach();
        let _request = point!("request");
        let signed = Context::capture().signed_headers(caller.key);
        let onward = signed.map_or(Headers::new(), |signed| headers(signed.info, signed.hmac));
        serve(onward, way)
    };
    std::thread::spawn(work).join().expect("no service panics")
}

#[test]
fn a_trace_goes_through_services_that_have_its_key() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let id = |text| Id::parse(text).expect("it is an id");
    let uuid = "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee";
    for (base, parent) in [(uuid, uuid), ("base", "parent"), (uuid, "parent")] {
        let signed = pack(id(base), id(parent), b"second");
        let way = &[
            ("one", "first, second"),
            ("two", "third, second"),
            ("three", "second"),
            // It has the others' first keys, but not that of this trace.
            ("four", "first, third"),
            ("five", "second"),
        ];
        let last = serve(headers(signed.info, signed.hmac), way);
        assert!(last.is_empty(), "the fourth service knows of no trace");

        let mut starts = HashMap::new();
        Sweeper::new().sweep(&mut |event| {
            assert_eq!((event.name, event.base_id), ("request", id(base)));
            if event.kind == Kind::Start {
                let ids = (event.trace_id.to_string(), event.parent_id.to_string());
                starts.insert(event.origin.details().service, ids);
            }
        });
        let mut above = parent.to_owned();
        for service in ["one", "two", "three"] {
            let (trace_id, parent_id) = starts.remove(&Some(service)).expect("it recorded");
            assert_eq!(parent_id, above, "{service}");
            above = trace_id;
        }
        assert!(starts.is_empty(), "{starts:?}");
    }
}

#[test]
fn headers_that_are_not_valid_join_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let keys = HmacKeys::parse("key");
    let ids = [1, 2].map(Id::from_u128);
    let signed = |key: &str| {
        let signed = pack(ids[0], ids[1], key.as_bytes());
        headers(signed.info, signed.hmac)
    };
    let own = |info: &str| headers(info, sign(info.as_bytes(), b"key"));
    let without = |name: &str| {
        let mut request = signed("key");
        request.remove(name);
        request
    };
    assert!(
        join(&signed("key"), &keys).is_some(),
        "the others are to fail"
    );
    for (request, why) in [
        (Headers::new(), "no headers"),
        (without(TRACE_INFO), "no ids"),
        (without(TRACE_HMAC), "no signature"),
        (signed("other"), "a key that is not ours"),
        (own(""), "empty"),
        (own("e30="), "an object without ids"),
        (own("bm90IEpTT04="), "not JSON"),
        (own(&"A".repeat(MAX_BYTES + 1)), "too long"),
        (headers(b"\xff\xfe", b"\xe9"), "not text"),
    ] {
        let caller = join(&request, &keys);
        assert!(caller.is_none(), "{why}");
        let _trace = caller.unwrap_or_default().context.attach();
        assert!(!is_on(), "{why}");
    }
    assert!(join(&signed("key"), &HmacKeys::default()).is_none());
    let off = Caller::from_headers(None, &keys, |_| panic!("tracing is off"));
    assert!(off.is_none());
    assert_eq!(Sweeper::new().sweep(&mut |_| {}).events, 0);
}

#[test]
fn the_default_key_and_refused_headers_are_told() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    log::set_logger(&Logger).expect("no other test sets one");
    log::set_max_level(log::LevelFilter::Debug);
    let ids = [1, 2].map(Id::from_u128);
    let signed = pack(ids[0], ids[1], b"wrong");
    let refused = headers(signed.info, signed.hmac);
    for (request, keys) in [
        (&Headers::new(), "key"),
        (&Headers::new(), "key, SECRET_KEY"),
        (&Headers::new(), "SECRET_KEY"),
        (&refused, "key"),
    ] {
        assert!(join(request, &HmacKeys::parse(keys)).is_none(), "{keys}");
    }
    log::set_max_level(log::LevelFilter::Off);
    let logged = std::mem::take(&mut *LOGGED.lock().unwrap_or_else(PoisonError::into_inner));
    let [warning, debug] = &logged[..] else {
        panic!("two lines, not {logged:?}");
    };
    let told = "WARN `hmac_keys` has the default `SECRET_KEY`, which everybody knows: ";
    assert!(warning.starts_with(told), "{warning}");
    let told = "DEBUG a request is not traced: its trace headers are malformed, or ";
    assert!(debug.starts_with(told), "{debug}");
}

#[test]
fn a_caller_may_leave_the_ids_to_the_service() {
    let keys = HmacKeys::parse("key");
    let joined = |json: &str| {
        let info = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE, json);
        let caller = join(&headers(&info, sign(info.as_bytes(), b"key")), &keys);
        let context = caller.expect("the headers are valid").context;
        let ids = [context.base_id(), context.current_id()];
        ids.map(|id| id.expect("it is in a trace").to_string())
    };
    assert_eq!(joined(r#"{"base_id": "b"}"#), ["b", "b"]);
    let [base_id, current_id] = joined(r#"{"base_id": ""}"#);
    assert_eq!(base_id, current_id);
    assert_ne!(
        joined(r#"{"base_id": ""}"#)[0],
        base_id,
        "each is a trace of its own"
    );
}

#[test]
fn headers_go_out_where_there_is_a_trace_and_a_key() {
    let trace = Context::new_trace(origin("begins"));
    assert!(trace.signed_headers("key").is_some());
    assert_eq!(trace.signed_headers(""), None);
    assert_eq!(Context::none().signed_headers("key"), None);
}

#[test]
fn a_callers_key_does_not_show() {
    let keys = HmacKeys::parse("hunter2");
    let signed = pack(Id::from_u128(1), Id::from_u128(2), b"hunter2");
    let caller = join(&headers(signed.info, signed.hmac), &keys).expect("the headers are valid");
    assert_eq!(caller.key, "hunter2");
    assert!(!format!("{caller:?} {caller:#?}").contains("hunter2"));
}
