// SPDX-License-Identifier: Apache-2.0
//! All that was found, for programs: one JSON object.
//!
//! Members are only ever added to it. A secret is in none of them.

use std::time::Duration;

use osprofiler::delivery::{Counters, PublishedProcess};
use osprofiler::wire::json;

use super::text::value;
use super::{Checked, Configured, Examination, Finding};
use crate::configuration::{OPTIONS, Place};

pub(super) fn of(found: &Examination) -> String {
    let processes = &found.processes;
    let configuration = found.configuration.as_ref();
    object(&[
        (
            "configuration",
            configuration.map_or_else(null, of_configuration),
        ),
        ("stores", array(found.stores.iter().map(of_store))),
        (
            "processes",
            array(processes.processes.iter().map(of_process)),
        ),
        ("processes_ended", processes.ended.to_string()),
        ("processes_elsewhere", processes.elsewhere.to_string()),
        ("processes_refused", processes.refused.to_string()),
    ])
}

fn of_configuration(configured: &Configured) -> String {
    let configuration = &configured.configuration;
    let files = configuration.files.iter();
    let options = OPTIONS.iter().map(|option| {
        let setting = configuration.setting(option);
        let place = setting.as_ref().map(|setting| &setting.place);
        let over = setting.iter().flat_map(|setting| &setting.overridden);
        object(&[
            ("group", text(option.group)),
            ("name", text(option.name)),
            (
                "value",
                value(configured, option).map_or_else(null, |value| text(&value)),
            ),
            ("from", place.map_or_else(null, of_place)),
            ("over", array(over.map(of_place))),
        ])
    });
    let ignored = configuration.ignored();
    let ignored = ignored.iter().map(|ignored| {
        object(&[
            ("what", text(&ignored.what)),
            ("from", of_place(&ignored.place)),
            ("why", text(&ignored.why)),
        ])
    });
    let stores = configured
        .stores
        .iter()
        .flat_map(osprofiler::driver::ConnectionStrings::iter);
    object(&[
        (
            "files",
            array(files.map(|file| text(&file.path.display().to_string()))),
        ),
        ("options", array(options)),
        ("ignored", array(ignored)),
        (
            "stores",
            array(stores.map(|store| text(&store.to_string()))),
        ),
        (
            "findings",
            array(configured.findings.iter().map(of_finding)),
        ),
    ])
}

fn of_store(store: &Checked) -> String {
    let ms = |span: Option<Duration>| {
        span.map_or_else(null, |span| format!("{:.3}", span.as_secs_f64() * 1e3))
    };
    object(&[
        ("store", text(&store.store)),
        ("write_ms", ms(store.write_time)),
        ("read_ms", ms(store.read_time)),
        (
            "test_trace_left",
            store.left.as_ref().map_or_else(null, |id| text(id)),
        ),
        ("findings", array(store.findings.iter().map(of_finding))),
    ])
}

fn of_process(process: &PublishedProcess) -> String {
    let optional = |name: &Option<String>| name.as_ref().map_or_else(null, |name| text(name));
    let services = process.services.iter().map(|(project, service)| {
        object(&[
            ("project", optional(project)),
            ("service", optional(service)),
        ])
    });
    let stores = process.stores.iter().map(|(store, counters)| {
        let mut members = vec![("store", text(store))];
        members.extend(of_counters(counters));
        object(&members)
    });
    let mut members = vec![
        ("pid", process.pid.to_string()),
        ("user", text(&super::accounts::user_name(process.user))),
        ("program", text(&process.program)),
        ("services", array(services)),
        ("changed", text(&process.updated.to_string())),
    ];
    members.extend(of_counters(&process.total));
    members.push((
        "failed_publications",
        process.failed_publications.to_string(),
    ));
    members.push(("stores", array(stores)));
    object(&members)
}

fn of_counters(counters: &Counters) -> Vec<(&'static str, String)> {
    let losses: Vec<_> = counters
        .losses()
        .map(|loss| (loss.reason.name(), loss.count.to_string()))
        .collect();
    vec![
        ("recorded", counters.recorded().to_string()),
        ("stored", counters.stored().to_string()),
        ("waiting", counters.waiting().to_string()),
        ("spooled", counters.spooled().to_string()),
        ("lost", counters.lost().to_string()),
        ("lost_by_reason", object(&losses)),
        ("evicted", counters.evicted().to_string()),
        ("adopted", counters.adopted().to_string()),
    ]
}

fn of_place(place: &Place) -> String {
    object(&[
        ("file", text(&place.path.display().to_string())),
        ("line", place.line.to_string()),
    ])
}

fn of_finding(finding: &Finding) -> String {
    object(&[
        ("level", text(finding.level.name())),
        ("text", text(&finding.text)),
        (
            "help",
            finding.help.as_ref().map_or_else(null, |help| text(help)),
        ),
    ])
}

fn object(members: &[(&str, String)]) -> String {
    let members = members
        .iter()
        .map(|(name, value)| format!("{}: {value}", text(name)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
}

fn array(elements: impl Iterator<Item = String>) -> String {
    format!("[{}]", elements.collect::<Vec<_>>().join(", "))
}

fn text(text: &str) -> String {
    let mut quoted = String::new();
    json::push_text(text, &mut quoted);
    quoted
}

fn null() -> String {
    "null".to_owned()
}
