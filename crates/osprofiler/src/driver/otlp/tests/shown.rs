// SPDX-License-Identifier: Apache-2.0
//! A request as text: a line a span, below a line a resource.

use std::fmt::Write;

use crate::driver::otlp::protobuf::{Fields, Value};

/// The message's fields with that number.
fn all(message: &[u8], number: u32) -> Vec<&[u8]> {
    let fields = Fields(message).map(|field| field.expect("it is a message"));
    fields
        .filter_map(|field| match field {
            (found, Value::Bytes(bytes)) if found == number => Some(bytes),
            _ => None,
        })
        .collect()
}

fn number(message: &[u8], number: u32) -> Option<u64> {
    let mut fields = Fields(message).map(|field| field.expect("it is a message"));
    fields.find_map(|field| match field {
        (found, Value::Number(value)) if found == number => Some(value),
        _ => None,
    })
}

fn text(message: &[u8], number: u32) -> String {
    let bytes = all(message, number).first().copied().unwrap_or_default();
    String::from_utf8(bytes.to_owned()).expect("it is a text")
}

fn hex(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for byte in bytes {
        let _ = write!(shown, "{byte:02x}");
    }
    shown
}

fn attributes(message: &[u8], field: u32) -> String {
    let attributes = all(message, field).into_iter().map(|attribute| {
        let value = all(attribute, 2)[0];
        let (kind, value) = Fields(value).next().expect("it has a value").unwrap();
        let value = match (kind, value) {
            (1, Value::Bytes(bytes)) => format!("{:?}", String::from_utf8_lossy(bytes)),
            (2, Value::Number(truth)) => (truth != 0).to_string(),
            (3, Value::Number(number)) => number.cast_signed().to_string(),
            (4, Value::Number(bits)) => format!("{:?}", f64::from_bits(bits)),
            other => panic!("{other:?}"),
        };
        format!("{}={value}", text(attribute, 1))
    });
    attributes.collect::<Vec<_>>().join(" ")
}

/// The request's spans. `NAME KIND ID<PARENT BEGIN+DURATION ATTRIBUTES`, times in nanoseconds, and what else there is.
pub(super) fn spans(request: &[u8]) -> Vec<String> {
    let mut shown = Vec::new();
    for of_resource in all(request, 1) {
        shown.push(attributes(all(of_resource, 1)[0], 1));
        for of_scope in all(of_resource, 2) {
            shown.extend(all(of_scope, 2).into_iter().map(span));
        }
    }
    shown
}

fn span(span: &[u8]) -> String {
    let [id, parent] =
        [2, 4].map(|field| all(span, field).first().map(|id| hex(id)[..4].to_owned()));
    let (begin, end) = (number(span, 7).unwrap(), number(span, 8).unwrap());
    let mut shown = format!(
        "{} {} {}<{} {begin}+{} {}",
        text(span, 5),
        number(span, 6).unwrap(),
        id.unwrap(),
        parent.unwrap_or_default(),
        end - begin,
        attributes(span, 9),
    );
    if let Some(dropped) = number(span, 10) {
        let _ = write!(shown, " dropped={dropped}");
    }
    for event in all(span, 11) {
        let (name, at) = (text(event, 2), number(event, 1).unwrap());
        let _ = write!(shown, " [{name} {at} {}]", attributes(event, 3));
    }
    for link in all(span, 13) {
        let [trace, span] = [1, 2].map(|field| hex(all(link, field)[0])[..4].to_owned());
        let _ = write!(shown, " -> {trace}/{span}");
    }
    for status in all(span, 15) {
        let code = number(status, 3).unwrap();
        let _ = write!(shown, " status={code}: {}", text(status, 2));
    }
    shown
}
