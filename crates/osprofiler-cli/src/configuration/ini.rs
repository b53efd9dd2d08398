// SPDX-License-Identifier: Apache-2.0
//! A file of oslo.config, taken apart: assignments with their sections and lines, and what is commented out.
//!
//! As oslo.config reads it: `name = value` or `name: value`, quotes around a whole value gone, a line that begins with a blank goes on with the value
//! above it, and a file with one wrong line is refused as a whole. Names mean nothing here.

/// An assignment, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    /// Lower case, but for `DEFAULT`.
    pub(super) section: String,
    pub(super) name: String,
    /// The lines of the value.
    pub(super) value: String,
    /// Where it begins, from 1.
    pub(super) line: usize,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) assignments: Vec<Assignment>,
    /// Comments that would be assignments.
    pub(super) commented: Vec<Assignment>,
    /// Every section, as written, with its line.
    pub(super) sections: Vec<(String, usize)>,
}

/// Why oslo.config would refuse the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) why: &'static str,
}

/// Takes a file apart.
pub(super) fn parse(text: &str) -> Result<Parsed, Fault> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut parsed = Parsed::default();
    let mut section = None::<String>;
    // Whether a line may go on with the last assignment.
    let mut goes_on = false;
    for (index, line) in text.split('\n').enumerate() {
        let number = index + 1;
        let fault = |why| Err(Fault { line: number, why });
        let line = line.trim_end();
        if line.is_empty() {
            goes_on = false;
            continue;
        }
        if line.starts_with([' ', '\t']) {
            let Some(last) = parsed.assignments.last_mut().filter(|_| goes_on) else {
                return fault(
                    "the line begins with a blank, and there is no value above it to go on with",
                );
            };
            last.value.push('\n');
            last.value.push_str(line.trim_start());
            continue;
        }
        goes_on = false;
        if let Some(name) = line.strip_prefix('[') {
            match name.strip_suffix(']') {
                None => return fault("a section has to end with `]`"),
                Some("") => return fault("the section has no name"),
                Some(name) => {
                    parsed.sections.push((name.to_owned(), number));
                    section = Some(normalized(name));
                }
            }
        } else if let Some(comment) = line.strip_prefix(['#', ';']) {
            if let (Some(section), Some((name, value))) = (&section, split(comment.trim_start())) {
                parsed
                    .commented
                    .push(Assignment::new(section, name, value, number));
            }
        } else {
            match (split(line), &section) {
                (None, _) => return fault("there is no `=` or `:` in it"),
                (Some(("", _)), _) => return fault("there is no name before the `=`"),
                (_, None) => return fault("there is no section above it"),
                (Some((name, value)), Some(section)) => {
                    parsed
                        .assignments
                        .push(Assignment::new(section, name, value, number));
                    goes_on = true;
                }
            }
        }
    }
    Ok(parsed)
}

impl Assignment {
    fn new(section: &str, name: &str, value: &str, line: usize) -> Self {
        let (section, name, value) = (section.to_owned(), name.to_owned(), value.to_owned());
        Self {
            section,
            name,
            value,
            line,
        }
    }
}

/// A section's name, as it is compared.
pub(super) fn normalized(section: &str) -> String {
    if section.eq_ignore_ascii_case("DEFAULT") {
        "DEFAULT".to_owned()
    } else {
        section.to_lowercase()
    }
}

/// Name and value around the first `=` or `:`.
fn split(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(['=', ':'])?;
    let mut value = value.trim();
    for quote in ['"', '\''] {
        if value.starts_with(quote) && value.ends_with(quote) {
            value = value.get(1..value.len() - 1).unwrap_or_default();
            break;
        }
    }
    Some((name.trim(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `section.name=value@line`, separated by blanks; or what is wrong, and where.
    fn check(text: &str, expected: &str) {
        let shown = match parse(text) {
            Ok(parsed) => {
                let each = parsed.assignments.iter().map(|found| {
                    let Assignment {
                        section,
                        name,
                        value,
                        line,
                    } = found;
                    format!("{section}.{name}={value:?}@{line}")
                });
                each.collect::<Vec<_>>().join(" ")
            }
            Err(fault) => format!("{}: {}", fault.line, fault.why),
        };
        assert_eq!(shown, expected, "{text:?}");
    }

    // What oslo.config 10 was seen to make of each.
    #[test]
    fn values_are_read_as_oslo_config_reads_them() {
        for (line, value) in [
            ("k = v", "v"),
            ("k=v", "v"),
            ("k : a=b", "a=b"),
            ("k = a ; c # d", "a ; c # d"),
            ("k = 'a b'", "a b"),
            ("k = '", ""),
            ("k = \"a'", "\"a'"),
            ("k =", ""),
            ("k = a://b,\n  c://d", "a://b,\nc://d"),
            ("k = a\n\t[x]", "a\n[x]"),
        ] {
            check(&format!("[p]\n{line}\n"), &format!("p.k={value:?}@2"));
        }
        check(
            "[P]\nK=1\r\nk=2\r\n[Default]\nk=3",
            "p.K=\"1\"@2 p.k=\"2\"@3 DEFAULT.k=\"3\"@5",
        );
    }

    #[test]
    fn one_wrong_line_is_the_whole_files() {
        let blank = "the line begins with a blank, and there is no value above it to go on with";
        for (text, line, why) in [
            ("k=1", 1, "there is no section above it"),
            ("[p]\nk", 2, "there is no `=` or `:` in it"),
            ("[p]\n k=1", 2, blank),
            ("[p]\nk=1\n# c\n  x", 4, blank),
            ("[p]\nk=1\n\n  x", 4, blank),
            ("[]", 1, "the section has no name"),
            ("[x", 1, "a section has to end with `]`"),
            ("[p]\n=1", 2, "there is no name before the `=`"),
            ("\u{feff}[p]", 1, "there is no `=` or `:` in it"),
        ] {
            check(text, &format!("{line}: {why}"));
        }
    }

    #[test]
    fn comments_that_would_be_assignments_are_known() {
        let parsed = parse("# a = 1\n[p]\n#enabled = true\n; # b\n#: x\n# Some words.\n").unwrap();
        let names: Vec<_> = parsed
            .commented
            .iter()
            .map(|found| (&*found.name, found.line))
            .collect();
        assert_eq!(names, [("enabled", 3), ("", 5)]);
    }
}
