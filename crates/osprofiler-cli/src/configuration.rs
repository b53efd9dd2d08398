// SPDX-License-Identifier: Apache-2.0
//! A service's configuration as oslo.config reads it: some files, of which later ones win, and the options in them that count here.
//!
//! In: paths. Out: each option's value with the file and line that it is from, and what is ignored and why. The files are read, never
//! written, and what they hold is shown only where it is no secret.

mod ini;
mod interpolation;
mod options;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use ini::Assignment;

use crate::status::reason;

pub(crate) use interpolation::Unresolved;
pub(crate) use options::{BUS_OPTIONS, ConfigOption, Kind, OPTIONS, PROFILER, switched};

/// The longest file that is read, in bytes.
const MOST_BYTES: u64 = 16 << 20;

/// The files, in the order in which they were given.
pub(crate) struct Configuration {
    pub(crate) files: Vec<ConfigFile>,
}

/// A file: what it holds, or why the service would not start with it.
pub(crate) struct ConfigFile {
    pub(crate) path: PathBuf,
    content: ini::Parsed,
    pub(crate) fault: Option<Fault>,
}

/// Why a file says nothing, and what to do next.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) text: String,
    pub(crate) help: &'static str,
}

impl From<String> for Fault {
    fn from(text: String) -> Self {
        let help = "the service does not start with it";
        Self { text, help }
    }
}

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

/// An option that a file sets.
pub(crate) struct Setting {
    pub(crate) raw: String,
    pub(crate) place: Place,
    /// The name it goes by there.
    pub(crate) name: &'static str,
    /// Where else it is set, to no effect.
    pub(crate) overridden: Vec<Place>,
}

/// Something in a file that has no effect.
pub(crate) struct Ignored {
    pub(crate) what: String,
    pub(crate) place: Place,
    pub(crate) why: String,
}

impl Configuration {
    /// Reads the files.
    pub(crate) fn read(paths: &[PathBuf]) -> Self {
        Self {
            files: paths.iter().map(|path| ConfigFile::read(path)).collect(),
        }
    }

    /// What the files set an option to.
    pub(crate) fn setting(&self, option: &ConfigOption) -> Option<Setting> {
        let (raw, place, name) = self.winner(option.group, &option.names().collect::<Vec<_>>())?;
        let (raw, name) = (raw.to_owned(), name);
        let others = self.each().filter(|(_, found)| {
            found.section == option.group && option.names().any(|name| name == found.name)
        });
        let overridden = others
            .map(|(file, found)| file.place(found))
            .filter(|other| *other != place);
        Some(Setting {
            raw,
            overridden: overridden.collect(),
            place,
            name,
        })
    }

    /// How an option is named where its value is at fault: by file, line and name, or by its name alone where no file sets it.
    pub(crate) fn title_with_place(&self, option: &ConfigOption) -> String {
        match self.setting(option) {
            Some(setting) => format!("{}: {}", setting.place, option.title()),
            None => option.title(),
        }
    }

    /// An option's value, or its default; `Err` if it names what is not known here.
    pub(crate) fn value(&self, option: &ConfigOption) -> Result<String, Unresolved> {
        let setting = self.setting(option);
        let raw = setting.map_or_else(|| option.default.to_owned(), |setting| setting.raw);
        interpolation::resolve(&raw, option.group, &|group, name| self.raw(group, name))
    }

    /// The value of our option of that group and name; its default if it has no other.
    pub(crate) fn value_or_default(&self, group: &str, name: &str) -> String {
        let option = ConfigOption::find(group, name);
        option.map_or_else(String::new, |option| {
            let value = self.value(option).ok();
            value
                .filter(|value| !option.lenient || option.kind.fault(value).is_none())
                .unwrap_or_else(|| option.default.to_owned())
        })
    }

    /// Whether the service traces anything; `None` if that is not known.
    pub(crate) fn is_enabled(&self) -> Option<bool> {
        let option = ConfigOption::find(PROFILER, "enabled")?;
        let value = self.value(option).ok().filter(|_| self.is_whole())?;
        switched(&value)
    }

    /// Whether the files were read that could make an option something else: those after the one that sets it; all, where none does
    /// or its value names other options, which any of them may set.
    pub(crate) fn is_known(&self, option: &ConfigOption) -> bool {
        let Some(setting) = self.setting(option) else {
            return self.is_whole();
        };
        if interpolation::resolve(&setting.raw, option.group, &|_, _| None).is_err() {
            return self.is_whole();
        }
        let sets_it = |file: &ConfigFile| setting.place.path == file.path;
        let mut later = self.files.iter().rev().take_while(|file| !sets_it(file));
        later.all(|file| file.fault.is_none())
    }

    /// Whether all of its files were read: else nobody knows what the others hold.
    pub(crate) fn is_whole(&self) -> bool {
        self.files.iter().all(|file| file.fault.is_none())
    }

    /// What of the files has no effect, in their order.
    pub(crate) fn ignored(&self) -> Vec<Ignored> {
        let mut ignored = Vec::new();
        for file in &self.files {
            for (section, line) in &file.content.sections {
                let name = ini::normalized(section);
                if !is_ours(&name) && name.contains(PROFILER) {
                    ignored.push(Ignored {
                        what: format!("section `[{section}]`"),
                        place: file.place_at(*line),
                        why: "no section of that name is read; write `[profiler]`".to_owned(),
                    });
                }
            }
            let ours = |found: &&Assignment| is_ours(&found.section);
            let assigned = file.content.assignments.iter().filter(ours);
            ignored.extend(assigned.filter_map(|found| unknown(found, file)));
            let commented = file.content.commented.iter().filter(ours);
            ignored.extend(commented.filter_map(|found| self.commented(found, file)));
        }
        ignored
    }

    /// A comment that would set an option which nothing sets, to something other than its default.
    fn commented(&self, found: &Assignment, file: &ConfigFile) -> Option<Ignored> {
        let option = ConfigOption::find(&found.section, &found.name)?;
        let is_set = !self.is_whole() || self.setting(option).is_some();
        if is_set || found.value.eq_ignore_ascii_case(option.default) {
            return None;
        }
        Some(Ignored {
            what: option.title(),
            place: file.place(found),
            why: format!("it is commented out, so {}", option.default_counts()),
        })
    }

    /// The raw value of any option, for those that name it.
    fn raw(&self, group: &str, name: &str) -> Option<String> {
        let group = ini::normalized(group);
        let option = ConfigOption::find(&group, name);
        let names = option.map_or_else(|| vec![name], |option| option.names().collect());
        let found = self.winner(&group, &names).map(|(raw, ..)| raw.to_owned());
        found.or_else(|| option.map(|option| option.default.to_owned()))
    }

    /// The last file that has one of the names; in that, the first of the names that is there, and its last value.
    fn winner<'a>(&self, group: &str, names: &[&'a str]) -> Option<(&str, Place, &'a str)> {
        self.files.iter().rev().find_map(|file| {
            names.iter().find_map(|name| {
                let mut found = file.content.assignments.iter().rev();
                let found = found.find(|found| found.section == group && found.name == *name)?;
                Some((found.value.as_str(), file.place(found), *name))
            })
        })
    }

    fn each(&self) -> impl Iterator<Item = (&ConfigFile, &Assignment)> {
        let files = self.files.iter();
        files.flat_map(|file| {
            file.content
                .assignments
                .iter()
                .map(move |found| (file, found))
        })
    }
}

impl ConfigFile {
    fn read(path: &Path) -> Self {
        let (content, fault) = match read(path) {
            Ok(content) => (content, None),
            Err(fault) => (ini::Parsed::default(), Some(fault)),
        };
        Self {
            path: path.to_owned(),
            content,
            fault,
        }
    }

    fn place(&self, found: &Assignment) -> Place {
        self.place_at(found.line)
    }

    fn place_at(&self, line: usize) -> Place {
        let path = self.path.clone();
        Place { path, line }
    }
}

fn read(path: &Path) -> Result<ini::Parsed, Fault> {
    let shown = path.display();
    let failed = |error: std::io::Error| {
        let fault = Fault::from(format!("cannot read `{shown}`: {}", reason(&error)));
        match error.kind() {
            ErrorKind::NotFound => Fault {
                help: "give each file that the service is started with; it does not start without one of them",
                ..fault
            },
            ErrorKind::PermissionDenied => Fault {
                help: "run this as root, or as the service's user",
                ..fault
            },
            _ => fault,
        }
    };
    let mut text = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MOST_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(format!("`{shown}` is longer than any configuration").into());
    }
    let text = String::from_utf8(text).map_err(|_| format!("`{shown}` is not UTF-8"))?;
    ini::parse(&text).map_err(|fault| format!("{shown}:{}: {}", fault.line, fault.why).into())
}

/// Whether we look at everything in the section.
fn is_ours(section: &str) -> bool {
    OPTIONS.iter().any(|option| option.group == section)
}

/// Why an assignment has no effect, if it has none.
fn unknown(found: &Assignment, file: &ConfigFile) -> Option<Ignored> {
    let mut ours = OPTIONS
        .iter()
        .filter(|option| option.group == found.section);
    if let Some(option) = ours
        .clone()
        .find(|option| option.names().any(|name| name == found.name))
    {
        let why = option.unused?.to_owned();
        let (what, place) = (option.title(), file.place(found));
        return Some(Ignored { what, place, why });
    }
    let near = ours.find(|option| is_near(&found.name, option.name));
    let what = match found.section.as_str() {
        PROFILER => format!("`{}`", found.name),
        section => format!("`[{section}] {}`", found.name),
    };
    let why = match near {
        Some(option) => format!("no option has that name; `{}` does", option.name),
        None => "no option has that name".to_owned(),
    };
    let place = file.place(found);
    Some(Ignored { what, place, why })
}

/// Whether somebody who wrote `name` can have meant `wanted`: but for case, dashes and two letters they are the same.
fn is_near(name: &str, wanted: &str) -> bool {
    let name: Vec<char> = name
        .to_lowercase()
        .replace('-', "_")
        .chars()
        .take(64)
        .collect();
    let wanted: Vec<char> = wanted.chars().collect();
    let mut row: Vec<usize> = (0..=wanted.len()).collect();
    for (index, letter) in name.iter().enumerate() {
        let mut before = std::mem::replace(&mut row[0], index + 1);
        for (place, other) in wanted.iter().enumerate() {
            let changed = before + usize::from(letter != other);
            before = row[place + 1];
            row[place + 1] = changed.min(before + 1).min(row[place] + 1);
        }
    }
    row[wanted.len()] <= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration of these files, called `0`, `1`, ...
    fn configuration(texts: &[&str]) -> Configuration {
        let files = texts.iter().enumerate().map(|(number, text)| ConfigFile {
            path: number.to_string().into(),
            content: ini::parse(text).unwrap(),
            fault: None,
        });
        Configuration {
            files: files.collect(),
        }
    }

    fn shown(configuration: &Configuration, name: &str) -> String {
        let option = ConfigOption::find(PROFILER, name).unwrap();
        let value = configuration
            .value(option)
            .unwrap_or_else(|error| format!("{error:?}"));
        let Some(setting) = configuration.setting(option) else {
            return value;
        };
        let over: Vec<_> = setting.overridden.iter().map(ToString::to_string).collect();
        format!(
            "{value} as {} {} over {}",
            setting.name,
            setting.place,
            over.join(" ")
        )
    }

    #[test]
    fn later_files_win_and_in_one_file_the_last() {
        for (texts, expected) in [
            (&["[profiler]\nhmac_keys=a"][..], "a as hmac_keys 0:2 over "),
            (&["[DEFAULT]"], "SECRET_KEY"),
            (
                &["[profiler]\nhmac_keys=a\nhmac_keys=b\n[PROFILER]\nhmac_keys=c"],
                "c as hmac_keys 0:5 over 0:2 0:3",
            ),
            (
                &["[profiler]\nhmac_keys=a", "[profiler]\nhmac_keys=b"],
                "b as hmac_keys 1:2 over 0:2",
            ),
            (&["[profiler]\nHMAC_KEYS=a"], "SECRET_KEY"),
        ] {
            assert_eq!(shown(&configuration(texts), "hmac_keys"), expected);
        }
        for (texts, expected) in [
            (
                &["[profiler]\nprofiler_enabled=on\nenabled=no"][..],
                "no as enabled 0:3 over 0:2",
            ),
            (
                &["[profiler]\nenabled=no", "[profiler]\nprofiler_enabled=on"],
                "on as profiler_enabled 1:2 over 0:2",
            ),
            (
                &["[profiler]\nenabled=$trace_sqlalchemy\ntrace_sqlalchemy=yes"],
                "yes as enabled 0:2 over ",
            ),
        ] {
            assert_eq!(shown(&configuration(texts), "enabled"), expected);
        }
    }

    #[test]
    fn an_option_is_not_known_that_an_unread_file_may_set() {
        let option = ConfigOption::find(PROFILER, "hmac_keys").unwrap();
        for (texts, unread, expected) in [
            (["[profiler]\nhmac_keys=a", ""], 1, false),
            (["", "[profiler]\nhmac_keys=a"], 0, true),
            (["[DEFAULT]", ""], 1, false),
            (["", "[DEFAULT]"], 0, false),
            (["", "[profiler]\nhmac_keys=$keys\nkeys=a"], 0, false),
            (["", "[profiler]\nhmac_keys=$$a"], 0, true),
        ] {
            let mut configuration = configuration(&texts);
            configuration.files[unread].fault = Some("nobody may read it".to_owned().into());
            assert_eq!(configuration.is_known(option), expected, "{texts:?}");
        }
    }

    #[test]
    fn a_value_may_name_options_of_other_files() {
        let configuration = configuration(&[
            "[DEFAULT]\nstate_path=/a\n[profiler]\nconnection_string=sqlite://$state_path/x",
            "[DEFAULT]\nstate_path=/b",
        ]);
        assert_eq!(
            shown(&configuration, "connection_string"),
            "sqlite:///b/x as connection_string 0:4 over "
        );
    }

    #[test]
    fn what_has_no_effect_is_told_with_its_reason() {
        let configuration = configuration(&["[profiler]
enbaled = True
trace-sqlalchemy = True
colour = s3cret
#hmac_keys = s3cret
# mask_secrets = true
# enabled = s3cret
[osprofiler]
[profiler_jaeger]
process_tags = a:b
[profiler]
enabled = True
[DEFAULT]
other = 1
"]);
        let told: Vec<String> = configuration
            .ignored()
            .iter()
            .map(|ignored| format!("{} {}: {}", ignored.place, ignored.what, ignored.why))
            .collect();
        assert_eq!(
            told,
            [
                "0:8 section `[osprofiler]`: no section of that name is read; write `[profiler]`",
                "0:2 `enbaled`: no option has that name; `enabled` does",
                "0:3 `trace-sqlalchemy`: no option has that name; `trace_sqlalchemy` does",
                "0:4 `colour`: no option has that name",
                "0:10 `[profiler_jaeger] process_tags`: Jaeger takes OTLP itself",
                "0:5 `hmac_keys`: it is commented out, so the default counts, `SECRET_KEY`",
            ]
        );
    }
}
