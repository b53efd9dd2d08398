// SPDX-License-Identifier: Apache-2.0
//! What is to be said of a configuration: whether anything is traced, who may have it traced, and what cannot be as it stands.

use std::path::Path;

use osprofiler::delivery::{Spooled, spooled};
use osprofiler::driver::SPOOL_FOLDER_MODE;
use osprofiler::shown::shell_word;

use super::accounts::Owned;
use super::text::ago;
use super::{Finding, Level};
use crate::configuration::{
    ConfigOption, Configuration, Kind, OPTIONS, PROFILER, Unresolved, switched,
};
use crate::printer::plural;
use crate::status::reason;

/// What everybody knows.
const DEFAULT_KEY: &str = "SECRET_KEY";
/// A shorter key is guessed.
const FEWEST_LETTERS: usize = 8;
const MAKE_A_KEY: &str = "make one: `python3 -c \"import secrets; print(secrets.token_hex(16))\"`, the same for all services";
const WHAT_BECOMES: &str = "each is sent once its store takes something, by the process that wrote it, or, when that has ended, by the next of the \
                            same user with the same `connection_string`; where no service has these any more it stays until you remove it";

/// What is found, the worst that hinders everything first.
pub(super) fn findings(configuration: &Configuration) -> Vec<Finding> {
    let faults = configuration
        .files
        .iter()
        .filter_map(|file| file.fault.clone());
    let mut findings: Vec<Finding> = faults
        .map(|fault| Finding::new(Level::Error, fault.text).with_help(fault.help))
        .collect();
    for option in OPTIONS {
        findings.extend(of_option(configuration, option));
    }
    if !configuration.is_whole() {
        let text = "whether anything is traced, and with which keys, is not known without all of its files";
        findings.push(Finding::new(Level::Note, text));
        return findings;
    }
    let is_enabled = configuration.is_enabled();
    findings.push(match is_enabled {
        Some(true) => Finding::new(
            Level::Fine,
            "requests are traced whose headers are signed with a key: `enabled` is on",
        ),
        Some(false) => Finding::new(Level::Warning, "nothing is traced: `enabled` is off")
            .with_help("write `enabled = True` below `[profiler]`, and restart the service"),
        None => Finding::new(
            Level::Note,
            "whether anything is traced is not known: `enabled` is neither on nor off",
        ),
    });
    keys(configuration, is_enabled == Some(true), &mut findings);
    if !is_on(configuration, "mask_secrets") {
        findings.push(Finding::new(
            Level::Warning,
            "passwords and tokens in what is recorded are stored as they are: `mask_secrets` is off",
        ));
    }
    if !is_on(configuration, "publish_counters") {
        findings.push(Finding::new(
            Level::Note,
            "processes of this service are not listed below: `publish_counters` is off",
        ));
    }
    let folder = configuration.value_or_default(PROFILER, "spool_folder");
    if let Some(option) = ConfigOption::find(PROFILER, "spool_folder")
        && !folder.is_empty()
    {
        let title = configuration.title_with_place(option);
        spool(Path::new(&folder), &title, &mut findings);
    }
    findings
}

/// Who may write the folder for what waits, and what does; `title` is the option's, with its place.
fn spool(folder: &Path, title: &str, findings: &mut Vec<Finding>) {
    let found = match Owned::folder(folder, SPOOL_FOLDER_MODE) {
        Ok(found) => found,
        Err(finding) => {
            findings.push(Finding {
                text: format!("{title}: {}", finding.text),
                ..finding
            });
            return;
        }
    };
    let (title, writers) = (found.title(), found.writers());
    let text = format!("`spool_folder` belongs to {title}; it can be written by {writers}");
    findings.push(Finding::new(Level::Fine, text));
    if found.lets_remove() {
        let text =
            "who may write `spool_folder` may remove what others keep there: it has no sticky bit";
        let help = format!("set it: `chmod +t {}`", shell_word(folder.display()));
        findings.push(Finding::new(Level::Warning, text).with_help(help));
    }
    findings.push(match spooled(folder) {
        Ok(Spooled {
            files: 0,
            is_cut_off: false,
            ..
        }) => Finding::new(Level::Fine, "`spool_folder` holds no file that waits"),
        Ok(found) => Finding::new(Level::Note, waiting(&found)).with_help(WHAT_BECOMES),
        Err(error) => {
            let text = format!(
                "what waits in `spool_folder` is not known: {}",
                reason(&error)
            );
            Finding::new(Level::Note, text)
        }
    });
}

/// What waits, in words.
fn waiting(found: &Spooled) -> String {
    let files = plural(found.files, "file");
    let notifications = plural(found.notifications, "notification");
    let kib = found.bytes.div_ceil(1024);
    let unread = match found.unread {
        0 => String::new(),
        unread => format!(
            ", without {} that this user may not read",
            plural(unread, "file")
        ),
    };
    let more = if found.is_cut_off {
        ", and more that was not looked at"
    } else {
        ""
    };
    let oldest = found.oldest.map_or_else(String::new, |oldest| {
        format!("; the oldest was written {}", ago(oldest))
    });
    format!(
        "`spool_folder` holds what waits for its store: {files}, {kib} KiB, {notifications}{unread}{more}{oldest}"
    )
}

fn is_on(configuration: &Configuration, name: &str) -> bool {
    switched(&configuration.value_or_default(PROFILER, name)).unwrap_or(true)
}

/// What is wrong with an option's value, and with its name.
fn of_option(configuration: &Configuration, option: &'static ConfigOption) -> Vec<Finding> {
    let Some(setting) = configuration.setting(option) else {
        return Vec::new();
    };
    let (title, place) = (option.title(), &setting.place);
    let mut findings = Vec::new();
    if setting.name != option.name {
        let text = format!(
            "{place}: `{}` is an old name; it still counts",
            setting.name
        );
        let help = format!("write `{}`", option.name);
        findings.push(Finding::new(Level::Warning, text).with_help(help));
    }
    if has_comment(&setting.raw) {
        let text = format!(
            "{place}: a `#` or `;` behind a blank begins no comment: it belongs to the value of {title}"
        );
        findings.push(
            Finding::new(Level::Warning, text)
                .with_help("write a comment on a line of its own that begins with it"),
        );
    }
    match configuration.value(option) {
        Ok(value) => findings.extend(option.kind.fault(&value).map(|fault| {
            let text = format!("{place}: {title} cannot be what it is: {fault}");
            Finding::new(Level::Error, text).with_help(match option.kind {
                // To oslo.config it is a text like any other.
                Kind::AbsolutePath => option.default_counts(),
                _ => consequence(option),
            })
        })),
        Err(Unresolved::Unknown(name)) => {
            // Behind the dollar of a key or a password stands a part of it.
            let named = if option.secret {
                "what follows a `$`".to_owned()
            } else {
                format!("`${name}`")
            };
            let text = format!(
                "{place}: {title} names {named} as an option, which is in none of the files"
            );
            let help = format!(
                "if it is an option of the service with a default of its own, all is well, and not known here; if it \
                 is no option, {}; a dollar is written `$$`",
                consequence(option)
            );
            findings.push(Finding::new(Level::Warning, text).with_help(help));
        }
        Err(Unresolved::Endless) => {
            let text = format!("{place}: {title} names itself");
            findings.push(Finding::new(Level::Error, text).with_help(consequence(option)));
        }
    }
    findings
}

/// Whether somebody may have meant a value, or what follows a blank or begins a line in it, as a comment.
fn has_comment(value: &str) -> bool {
    let begins_comment = |text: &str| text.starts_with(['#', ';']);
    let mut blanks = value.match_indices([' ', '\t', '\n']);
    let is_comment = begins_comment(value) && value[1..].starts_with([' ', '\t']);
    is_comment || blanks.any(|(at, blank)| begins_comment(&value[at + blank.len()..]))
}

/// What becomes of a service that reads a value which is none.
fn consequence(option: &ConfigOption) -> String {
    if !option.lenient {
        return "the service fails when it reads it".to_owned();
    }
    format!(
        "{}, and the service's log has a warning; a service that logs all its options at its start \
         fails there (`log_options`, on by default)",
        option.default_counts()
    )
}

/// What is to be said of the keys. None of them shows.
fn keys(configuration: &Configuration, is_enabled: bool, findings: &mut Vec<Finding>) {
    let Some(option) = ConfigOption::find(PROFILER, "hmac_keys") else {
        return;
    };
    // Why it has no value is said already.
    let Ok(text) = configuration.value(option) else {
        return;
    };
    let mut keys: Vec<&str> = text
        .split(',')
        .map(str::trim)
        .filter(|key| !key.is_empty())
        .collect();
    let before = findings.len();
    let mut say =
        |level, text: &str| findings.push(Finding::new(level, text).with_help(MAKE_A_KEY));
    if keys.is_empty() {
        let level = if is_enabled {
            Level::Error
        } else {
            Level::Warning
        };
        say(level, "no request can be traced: `hmac_keys` holds no key");
        return;
    }
    if keys.contains(&DEFAULT_KEY) {
        say(
            Level::Warning,
            "`hmac_keys` holds the default, which everybody knows: whoever reaches the service can have requests traced",
        );
    }
    let is_short = |key: &&str| key.chars().count() < FEWEST_LETTERS && *key != DEFAULT_KEY;
    if keys.iter().any(is_short) {
        say(
            Level::Warning,
            "`hmac_keys` holds a key of less than 8 letters, which can be guessed",
        );
    }
    if keys.iter().any(|key| {
        key.chars()
            .any(|letter| letter.is_whitespace() || letter.is_control())
    }) {
        say(
            Level::Warning,
            "`hmac_keys` holds a key with blanks or line ends in it; keys are separated by commas",
        );
    }
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    if keys.len() < count {
        findings.push(Finding::new(Level::Note, "`hmac_keys` holds a key twice"));
    }
    if findings.len() == before {
        let counted = plural(count as u64, "key");
        findings.push(Finding::new(
            Level::Fine,
            format!("`hmac_keys` holds {counted} of its own"),
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, create_dir, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_for_what_waits_lets_nobody_remove_what_is_anothers() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("my dir;x");
        let shown = folder.display();
        let of_folder = |level| {
            let mut findings = Vec::new();
            spool(&folder, "`spool_folder`", &mut findings);
            findings.retain(|finding| finding.level == level);
            findings
        };
        let [missing] = &of_folder(Level::Error)[..] else {
            panic!("a missing folder is one error");
        };
        let help = missing.help.as_deref().unwrap();
        let make = format!("`install -d -m 3770 -g osprofiler '{shown}'`");
        assert!(help.contains(&make), "{help}");

        create_dir(&folder).unwrap();
        for (mode, expected) in [
            (0o700, false),
            (0o755, false),
            (0o3770, false),
            (0o1777, false),
            (0o2770, true),
            (0o702, true),
        ] {
            set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
            let warnings = of_folder(Level::Warning);
            assert_eq!(!warnings.is_empty(), expected, "{mode:o}");
            for warning in warnings {
                let help = format!("set it: `chmod +t '{shown}'`");
                assert_eq!(warning.help, Some(help));
            }
        }
    }
}
