// SPDX-License-Identifier: Apache-2.0
//! All that was found, for people: a part for the configuration, one for each store, one for the processes.

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use osprofiler::delivery::{Counters, ProcessList, PublishedProcess};
use osprofiler::driver::ConnectionStrings;

use super::accounts::user_name;
use super::{Configured, Examination, Finding, Level};
use crate::configuration::{ConfigOption, OPTIONS, PROFILER};
use crate::printer::{plural, visible};

pub(super) fn write(found: &Examination, out: &mut dyn Write) -> io::Result<()> {
    let mut is_first = true;
    let mut title = |out: &mut dyn Write, text: &str| {
        let before = if std::mem::take(&mut is_first) {
            ""
        } else {
            "\n"
        };
        writeln!(out, "{before}{}", visible(text))
    };
    if let Some(configured) = &found.configuration {
        title(out, "configuration")?;
        write_configuration(configured, out)?;
    }
    for store in &found.stores {
        title(out, &format!("store {}", store.store))?;
        write_findings(&store.findings, out)?;
    }
    title(out, "traced processes of this host")?;
    write_processes(&found.processes, out)
}

fn write_findings(findings: &[Finding], out: &mut dyn Write) -> io::Result<()> {
    for finding in findings {
        writeln!(
            out,
            "  {:8} {}",
            finding.level.name(),
            visible(&finding.text)
        )?;
        if let Some(help) = finding
            .help
            .as_ref()
            .filter(|_| finding.level != Level::Fine)
        {
            writeln!(out, "           {}", visible(help))?;
        }
    }
    Ok(())
}

fn write_configuration(configured: &Configured, out: &mut dyn Write) -> io::Result<()> {
    let configuration = &configured.configuration;
    let mut rows = vec![["option", "from", "value"].map(str::to_owned)];
    for option in OPTIONS {
        let from = match configuration.setting(option) {
            // Without all of the files nobody knows whether it has its default.
            None if option.group != PROFILER || !configuration.is_whole() => continue,
            None => "default".to_owned(),
            Some(setting) if setting.overridden.is_empty() => setting.place.to_string(),
            Some(setting) => {
                let over = setting.overridden.iter().map(ToString::to_string);
                format!(
                    "{}, over {}",
                    setting.place,
                    over.collect::<Vec<_>>().join(", ")
                )
            }
        };
        let title = option.title().replace('`', "");
        let value = value(configured, option).unwrap_or_else(|| "?".to_owned());
        rows.push([title, visible(&from), visible(&value)]);
    }
    if rows.len() > 1 {
        write_table(&rows, 2, out)?;
    }
    for ignored in configuration.ignored() {
        let text = format!(
            "{}: {} is ignored: {}",
            ignored.place, ignored.what, ignored.why
        );
        writeln!(out, "  ignored  {}", visible(&text))?;
    }
    write_findings(&configured.findings, out)
}

/// An option's value as it may be shown; `None` if it is not known.
pub(super) fn value(configured: &Configured, option: &ConfigOption) -> Option<String> {
    let configuration = &configured.configuration;
    if !configuration.is_known(option) {
        return None;
    }
    if !option.secret {
        // As it is written: what it names may be a secret.
        let setting = configuration.setting(option);
        return Some(setting.map_or_else(|| option.default.to_owned(), |setting| setting.raw));
    }
    let value = configuration.value(option).ok()?;
    if option.name == "hmac_keys" {
        let keys = value.split(',').filter(|key| !key.trim().is_empty());
        return Some(plural(keys.count() as u64, "key"));
    }
    Some(ConnectionStrings::shown(&value))
}

fn write_processes(list: &ProcessList, out: &mut dyn Write) -> io::Result<()> {
    if list.processes.is_empty() {
        writeln!(
            out,
            "  none publishes its counters where this user can read them"
        )?;
    } else {
        let heads = [
            "pid", "user", "program", "service", "recorded", "stored", "waiting", "spooled",
            "lost", "changed",
        ];
        let mut rows = vec![heads.map(str::to_owned)];
        for process in &list.processes {
            let [pid, user, program, service] = who(process);
            let mut row = vec![pid, user, program, service];
            row.extend(numbers(&process.total));
            row.push(age(process));
            rows.push(row.try_into().unwrap_or_default());
        }
        write_table(&rows, 10, out)?;
        for process in &list.processes {
            write_stores(process, out)?;
        }
    }
    for (count, what) in [
        (list.ended, "killed or crashed"),
        (list.elsewhere, "in other containers: run the command there"),
        (list.refused, "that cannot be read or believed"),
    ] {
        if count > 0 {
            writeln!(
                out,
                "  not listed: {} {what}",
                if count == 1 {
                    "1 process".to_owned()
                } else {
                    format!("{count} processes")
                }
            )?;
        }
    }
    Ok(())
}

/// What became of a process's notifications by store, and why some are lost.
fn write_stores(process: &PublishedProcess, out: &mut dyn Write) -> io::Result<()> {
    for (store, counters) in &process.stores {
        let [recorded, stored, waiting, spooled, lost] = numbers(counters);
        let mut text = format!(
            "{} {store}: {recorded} recorded, {stored} stored, {waiting} waiting, {spooled} spooled, {lost} lost",
            process.pid
        );
        for (count, what) in [
            (counters.evicted(), "removed by the store for room"),
            (counters.adopted(), "sent for processes that had ended"),
        ] {
            if count > 0 {
                text.extend([", ", what, ": ", &count.to_string()]);
            }
        }
        writeln!(out, "  {}", visible(&text))?;
    }
    let losses = process.total.losses();
    let losses: Vec<_> = losses
        .map(|loss| format!("{} {}", loss.count, loss.reason.name()))
        .collect();
    if !losses.is_empty() {
        writeln!(out, "  {} lost: {}", process.pid, losses.join(", "))?;
    }
    Ok(())
}

fn who(process: &PublishedProcess) -> [String; 4] {
    let names = [
        process.pid.to_string(),
        user_name(process.user),
        process.program.clone(),
        services(process),
    ];
    names.map(|name| visible(&name))
}

/// `keystone/public`, or several.
pub(super) fn services(process: &PublishedProcess) -> String {
    let named = process.services.iter().map(|(project, service)| {
        let named = [project, service];
        let named = named.into_iter().flatten().map(String::as_str);
        named.collect::<Vec<_>>().join("/")
    });
    named.collect::<Vec<_>>().join(",")
}

fn numbers(counters: &Counters) -> [String; 5] {
    [
        counters.recorded(),
        counters.stored(),
        counters.waiting(),
        counters.spooled(),
        counters.lost(),
    ]
    .map(|number| number.to_string())
}

/// How long ago its counters changed.
fn age(process: &PublishedProcess) -> String {
    let updated = u64::try_from(process.updated.as_micros()).unwrap_or_default();
    ago(UNIX_EPOCH + Duration::from_micros(updated))
}

/// How long ago that was; what is to come is now.
pub(super) fn ago(then: SystemTime) -> String {
    let since = SystemTime::now().duration_since(then).unwrap_or_default();
    let seconds = since.as_secs();
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// Columns as wide as they have to be; the first `wide` of them are padded.
fn write_table<const N: usize>(
    rows: &[[String; N]],
    wide: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..N).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| match column {
            _ if column < wide => format!("{cell:width$}"),
            _ => cell.clone(),
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        writeln!(out, "  {}", line.trim_end())?;
    }
    Ok(())
}
