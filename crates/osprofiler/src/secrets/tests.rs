// SPDX-License-Identifier: Apache-2.0
//! What is masked and what is left, text by text; and for any text: still JSON, of the same shape, with no secret left.

use super::*;
use crate::wire::json::push_text;

fn check_text(text: &str, expected: &str) {
    assert_eq!(mask_text(text), expected, "{text}");
    assert_eq!(mask_text(expected), expected, "masked again: {text}");
    // The same inside of JSON.
    let [json, expected] = [text, expected].map(|text| {
        let mut json = String::from("{\"a\": ");
        push_text(text, &mut json);
        json + "}"
    });
    assert_eq!(mask_json(&json), expected, "{json}");
}

fn check_json(json: &str, expected: &str) {
    assert_eq!(mask_json(json), expected, "{json}");
    assert_eq!(mask_json(expected), expected, "masked again: {json}");
}

#[test]
fn members_with_a_name_in_their_key_go_as_a_whole() {
    for (json, expected) in [
        (r#"{"password": "x"}"#, r#"{"password": "***"}"#),
        (
            r#"{"User_Password_Hash": "x", "id": 1}"#,
            r#"{"User_Password_Hash": "***", "id": 1}"#,
        ),
        (
            r#"{"a": {"tokens": [1, {"b": "c"}], "d": 2}}"#,
            r#"{"a": {"tokens": "***", "d": 2}}"#,
        ),
        (
            r#"{"secret": {"a": {"b": "c"}}, "d": {}}"#,
            r#"{"secret": "***", "d": {}}"#,
        ),
        (
            r#"{"token": null, "a": [{"adminPass": -1e3}]}"#,
            r#"{"token": "***", "a": [{"adminPass": "***"}]}"#,
        ),
        (
            r#"{"pass": "x", "key": "y", "tok": "z"}"#,
            r#"{"pass": "x", "key": "y", "tok": "z"}"#,
        ),
    ] {
        check_json(json, expected);
    }
}

/// The texts and what becomes of them; a test in Python compares them with what oslo.utils makes of them.
const TEXTS: &str = include_str!("../../../../fixtures/secrets.txt");

#[test]
fn texts_are_masked_where_a_name_has_a_value() {
    let lines = TEXTS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let lines: Vec<&str> = lines.collect();
    let (pairs, rest) = lines.as_chunks();
    assert_eq!((pairs.len() > 50, rest), (true, &[][..]));
    for [text, expected] in pairs {
        check_text(text, &expected[3..]);
    }
    check_text("password = x\ny: z", "password = ***\ny: z");
}

#[test]
fn nothing_is_masked_where_the_process_says_so() {
    // Alone in the process with `set_masking`: no other test of the crate's library depends on it.
    assert!(is_masking());
    assert_eq!(masked_info(r#"{"token": 1}"#), r#"{"token": "***"}"#);
}

#[test]
fn what_is_no_json_is_masked_as_a_text() {
    assert_eq!(
        mask_json("{\"password\": \"x\", "),
        "{\"password\": \"***\", "
    );
    assert_eq!(mask_json("password=x \\"), "password=*** \\");
    assert_eq!(mask_json("token=\\é\\u"), "token=***");
}

/// Numbers that are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % limit
    }

    fn one_of<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts[self.below(texts.len())]
    }
}

const SECRET: &str = "hunter2";

/// A text with secrets in forms, quoted again up to three times.
fn secretive(numbers: &mut Numbers) -> String {
    let mut text = String::new();
    for _ in 0..=numbers.below(4) {
        let name = numbers.one_of(NAMES);
        let (form, value) = (numbers.below(8), [SECRET, "p\\", "a'b", "a\"b", "é"]);
        let value = format!("{SECRET}{}{SECRET}", numbers.one_of(&value));
        let piece = match form {
            0 => format!("{{{name:?}: {value:?}, 'b': 1}}"),
            1 => format!("x_{name}={value:?} "),
            2 => format!("--os-{name} {SECRET} "),
            3 => format!("<{name}>{SECRET}</{name}>"),
            4 => format!("X-{name}: {SECRET}\n"),
            5 => format!("({{'{name}': [{value:?}, {{'c': ({value:?},)}}]}},)"),
            6 => format!("'--{name}', {value:?}]"),
            _ => numbers
                .one_of(&[
                    "\\ ",
                    "\" ",
                    "' ",
                    "token ",
                    "[ ",
                    "password = 1 ",
                    ", 'a': 'b' ",
                ])
                .to_owned(),
        };
        text.push_str(&piece);
        text.push_str("; ");
        if numbers.below(3) == 0 {
            text = format!("({text:?}, 1)");
        }
    }
    text
}

/// The tokens of a JSON text, without what texts hold.
fn shape(json: &str) -> Vec<String> {
    let mut scanner = Scanner::new(json);
    let mut shape = Vec::new();
    while let Some(token) = scanner
        .next_token()
        .unwrap_or_else(|error| panic!("{error}: {json}"))
    {
        shape.push(match token {
            Token::Text(_) => "text".to_owned(),
            other => format!("{other:?}"),
        });
    }
    shape
}

#[test]
fn any_text_stays_json_of_the_same_shape_without_secrets() {
    let mut numbers = Numbers(1);
    for _ in 0..500 {
        let text = secretive(&mut numbers);
        let mut json = String::from("{\"a\": [");
        push_text(&text, &mut json);
        json.push_str(", 1], \"b\": {}}");
        let masked = mask_json(&json);
        assert_eq!(shape(&masked), shape(&json), "{json}");
    }
}

#[test]
fn no_secret_that_stands_behind_a_name_is_left() {
    let mut numbers = Numbers(2);
    let mut seen = 0;
    for _ in 0..500 {
        let text = secretive(&mut numbers);
        seen += usize::from(text.contains(SECRET));
        for masked in [mask_text(&text), mask_json(&format!("{{\"a\": {text:?}}}"))] {
            assert!(!masked.contains(SECRET), "{text}\n{masked}");
        }
    }
    assert!(seen > 250);
}

#[test]
fn random_bytes_harm_nothing() {
    const PIECES: &[&str] = &[
        "password",
        "token",
        "\\",
        "\\\\",
        "\"",
        "'",
        ":",
        "=",
        " ",
        "\\n",
        "\\u00e9",
        "<",
        ">",
        "</",
        "é",
        "[",
        "]",
        "{",
        ",",
        "--",
        "x",
        "\\u",
        "\u{1F600}",
    ];
    let mut numbers = Numbers(3);
    for _ in 0..5_000 {
        let count = numbers.below(12);
        let text: String = (0..count).map(|_| numbers.one_of(PIECES)).collect();
        let masked = mask_text(&text).into_owned();
        assert!(masked.len() <= text.len() + 3 * count, "{text}");
        let mut json = String::new();
        push_text(&text, &mut json);
        shape(&mask_json(&json));
        // Perhaps JSON, perhaps not.
        let _ = mask_json(&text);
        let _ = mask_json(&format!("{{\"{text}\": 1}}"));
    }
}

/// However often a text repeats what begins a form, each of its bytes is looked at a bounded number of times: for the words of
/// the names around it, and once for a secret.
#[test]
fn long_texts_are_looked_at_a_bounded_number_of_times() {
    for piece in [
        "token",
        "'token",
        "'token', '",
        "\"x-token\", ",
        "token ",
        "token:",
        "token=[",
        "'token': '",
        "<token>",
        "--token ",
        "'token': (",
        "token='\\",
        "-",
        "\\",
        "token\\\\\\\\'",
        "'x-token', \"",
        "secret_uuid<",
        "token=<",
        "'x-token', 'token' : ",
    ] {
        let text = piece.repeat(1_000) + "'x': 1";
        let before = forms::LOOKS.get();
        mask_text(&text);
        let looks = forms::LOOKS.get() - before;
        assert!(
            looks <= 64 * text.len(),
            "{piece}: {looks} looks at {} bytes",
            text.len()
        );
    }
}
