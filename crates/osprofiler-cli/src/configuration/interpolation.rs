// SPDX-License-Identifier: Apache-2.0
//! `$name` in a value: that option's value stands in its place, as oslo.config has it.
//!
//! `$name` and `${name}` are an option of the same group, or else of `[DEFAULT]`; `${group.name}` is one of that group. `$$` and `\$` are a
//! dollar, and so is one that no name follows. Bounded: values that name each other end in an error.

/// The deepest that a value may name others, and the longest that it may become, in bytes.
const MOST_DEPTH: usize = 10;
const MOST_BYTES: usize = 64 * 1024;

/// Why a value has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// It names an option that nobody here knows.
    Unknown(String),
    /// It names itself, or becomes too long.
    Endless,
}

/// The value with what it names in place. `look_up` finds the raw value of an option by group and name.
pub(super) fn resolve(
    value: &str,
    group: &str,
    look_up: &dyn Fn(&str, &str) -> Option<String>,
) -> Result<String, Unresolved> {
    resolve_within(value, group, look_up, 0)
}

fn resolve_within(
    value: &str,
    group: &str,
    look_up: &dyn Fn(&str, &str) -> Option<String>,
    depth: usize,
) -> Result<String, Unresolved> {
    if depth > MOST_DEPTH {
        return Err(Unresolved::Endless);
    }
    let value = value.replace("\\$", "$$");
    let (mut resolved, mut rest) = (String::new(), value.as_str());
    while let Some((before, behind)) = rest.split_once('$') {
        resolved.push_str(before);
        if let Some(behind) = behind.strip_prefix('$') {
            resolved.push('$');
            rest = behind;
        } else if let Some((name, behind)) = named(behind) {
            let (group, raw) =
                find(name, group, look_up).ok_or_else(|| Unresolved::Unknown(name.to_owned()))?;
            resolved.push_str(&resolve_within(&raw, &group, look_up, depth + 1)?);
            rest = behind;
        } else {
            resolved.push('$');
            rest = behind;
        }
        if resolved.len() > MOST_BYTES {
            return Err(Unresolved::Endless);
        }
    }
    resolved.push_str(rest);
    Ok(resolved)
}

/// The name behind a dollar, and what follows it.
fn named(text: &str) -> Option<(&str, &str)> {
    let is_first = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
    let is_next = |letter: char| letter.is_ascii_alphanumeric() || "_.".contains(letter);
    let braced = text.strip_prefix('{');
    let name = braced.unwrap_or(text);
    let end = name.find(|letter| !is_next(letter)).unwrap_or(name.len());
    let (name, behind) = name.split_at(end);
    let behind = match braced {
        Some(_) => behind.strip_prefix('}')?,
        None => behind,
    };
    name.starts_with(is_first).then_some((name, behind))
}

/// The group and the raw value of what a name means in `group`.
fn find(
    name: &str,
    group: &str,
    look_up: &dyn Fn(&str, &str) -> Option<String>,
) -> Option<(String, String)> {
    let (group, option) = name.split_once('.').unwrap_or((group, name));
    let found = |group: &str, name: &str| Some((group.to_owned(), look_up(group, name)?));
    found(group, option).or_else(|| found("DEFAULT", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_up(group: &str, name: &str) -> Option<String> {
        let value = match (group, name) {
            ("DEFAULT", "state_path") => "/var/lib/x",
            ("DEFAULT", "foo") => "$state_path/y",
            ("DEFAULT", "loop") => "$loop",
            ("DEFAULT", "twice") => "${p.big}${p.big}",
            ("p", "keys") => "K$$",
            ("p", "big") => return Some("x".repeat(MOST_BYTES - 10)),
            _ => return None,
        };
        Some(value.to_owned())
    }

    // What oslo.config 10 was seen to make of each.
    #[test]
    fn names_are_replaced_as_oslo_config_replaces_them() {
        let unknown = |name: &str| Err(Unresolved::Unknown(name.to_owned()));
        for (value, expected) in [
            ("plain", Ok("plain")),
            ("pa$$word", Ok("pa$word")),
            ("pa\\$word$ $1 x$", Ok("pa$word$ $1 x$")),
            ("sqlite://$state_path/t.db", Ok("sqlite:///var/lib/x/t.db")),
            ("$foo/t", Ok("/var/lib/x/y/t")),
            ("${state_path}x${p.keys}$keys", Ok("/var/lib/xxK$K$")),
            ("${state_path", Ok("${state_path")),
            ("pa$word", unknown("word").map(|()| "")),
            ("x$state_path.db", unknown("state_path.db").map(|()| "")),
            ("$loop", Err(Unresolved::Endless)),
            ("$twice", Err(Unresolved::Endless)),
        ] {
            assert_eq!(
                resolve(value, "p", &look_up),
                expected.map(str::to_owned),
                "{value}"
            );
        }
    }
}
