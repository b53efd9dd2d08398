// SPDX-License-Identifier: Apache-2.0
//! How the indexes are made: the template that a server makes them from, by whoever writes first.
//!
//! Ids and names are kept as they are, times are dates with their very text beside them, infos are kept and not looked into, so
//! no two services can disagree about what a value is. A template or an index that is there is taken as it is.

use serde::Deserialize;

use super::client::{Ask, Client};
use super::{ERRORS, LOSSES, WRITE};
use crate::Result;

/// Counted up when the template changes; one that is older is replaced.
const VERSION: u64 = 1;

/// What a user who may not make templates, a server that knows none, or a template of an administrator's answers.
const REFUSED: [u16; 4] = [400, 403, 404, 405];

/// Sees to it that the indexes are made well, if anybody may. Costs one request if the template is there.
pub(super) fn prepare(client: &mut Client) -> Result<()> {
    let index = client.settings.index.clone();
    let path = format!("/_index_template/{index}");
    let version = "?filter_path=index_templates.index_template.version";
    let found = client.ask_for(&WRITE, Ask::Get, &format!("{path}{version}"), &REFUSED)?;
    let text = found.text.unwrap_or_default();
    if found.status == 200 && version_of(&text) >= Some(VERSION) {
        return Ok(());
    }
    let made = client.ask_for(&WRITE, Ask::Put(&template(&index)), &path, &REFUSED)?;
    // A template of an administrator's for the same indexes, which is to decide, is refused with 400.
    if matches!(made.status, 403..=405) {
        for index in [
            &*index,
            &format!("{index}{ERRORS}"),
            &format!("{index}{LOSSES}"),
        ] {
            let body = format!("{{{BODY}}}");
            // It is there already, or the user may not do that either: then the server makes it as it thinks best.
            client.ask_for(&WRITE, Ask::Put(&body), &format!("/{index}"), &REFUSED)?;
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Found {
    index_templates: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    index_template: Template,
}

#[derive(Deserialize)]
struct Template {
    version: u64,
}

fn version_of(text: &str) -> Option<u64> {
    let found: Found = serde_json::from_str(text).ok()?;
    Some(found.index_templates.first()?.index_template.version)
}

fn template(index: &str) -> String {
    format!(
        r#"{{"index_patterns": ["{index}", "{index}{ERRORS}", "{index}{LOSSES}"], "version": {VERSION}, "priority": 100, "template": {{{BODY}}}}}"#
    )
}

/// Settings and mappings. A name longer than 1,024 characters is stored, only not found by; an id has 255 bytes at most.
const BODY: &str = r#""settings": {"auto_expand_replicas": "0-1"}, "mappings": {"dynamic": false, "properties": {
"name": {"type": "keyword", "ignore_above": 1024},
"base_id": {"type": "keyword", "ignore_above": 1024},
"trace_id": {"type": "keyword", "ignore_above": 1024},
"parent_id": {"type": "keyword", "ignore_above": 1024},
"timestamp": {"type": "date", "fields": {"keyword": {"type": "keyword"}}},
"info": {"type": "object", "enabled": false},
"project": {"type": "keyword", "ignore_above": 1024},
"service": {"type": "keyword", "ignore_above": 1024},
"reason": {"type": "keyword"},
"count": {"type": "long"}}}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_json_and_has_its_version() {
        let template: serde_json::Value = serde_json::from_str(&template("x")).unwrap();
        assert_eq!(
            template["index_patterns"],
            serde_json::json!(["x", "x-error", "x-lost"])
        );
        let answer = serde_json::json!({"index_templates": [{"index_template": template}]});
        assert_eq!(version_of(&answer.to_string()), Some(VERSION));
        assert_eq!(version_of("{}"), None);
        assert_eq!(version_of("<html>"), None);
    }
}
