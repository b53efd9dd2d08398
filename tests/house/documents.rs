// SPDX-License-Identifier: Apache-2.0
//! Documents say what is: paths in them exist, and tables in them are what the registries yield.
//!
//! A derived table stands between `<!-- name:begin -->` and `<!-- name:end -->`; where it differs, the failure prints the
//! right one, and `UPDATE_DOCUMENTS=1 cargo test -p osprofiler-tests --test house` writes it.

use std::fmt::Write as _;

use osprofiler::driver::ConnectionStrings;
use osprofiler::driver::registry::{Availability, Capability, DRIVERS, capabilities};
use osprofiler_cli::Status;

use crate::{assert_none, exists, extension, files, root, text};

/// Made by a build, so not in the repository.
const MADE: &[&str] = &["dist/", "target/"];

/// The documents whose paths are checked.
fn documents() -> Vec<String> {
    files()
        .into_iter()
        .filter(|path| extension(path) == "md" && !path.starts_with("fixtures/"))
        .collect()
}

/// What stands between backticks in `line`, and the targets of its links.
fn references(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    let linked = line
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#']).next())
        .filter(|target| !target.contains("://") && !target.is_empty());
    quoted.filter(|word| word.contains('/')).chain(linked)
}

/// Whether a word in backticks is a path of ours: plain letters, no option, no URL, no placeholder.
fn is_path(word: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./".contains(letter);
    word.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '.')
        && word.chars().all(is_plain)
        && !MADE.iter().any(|made| word.starts_with(made))
        // `NNNN-slug.md` and the like stand for names.
        && !word.contains("NNNN")
}

#[test]
fn paths_in_documents_exist() {
    let mut faults = Vec::new();
    for document in documents() {
        let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
        let is_top = folder.is_empty();
        for (number, line) in text(&document).unwrap().lines().enumerate() {
            for word in references(line).filter(|word| is_path(word)) {
                let beside = format!("{folder}/{word}");
                // Below docs/ a word with a slash need not be a path; it is one if it begins like one.
                let first = word.split('/').next().unwrap_or_default();
                if !exists(word) && !exists(&beside) && (is_top || exists(first)) {
                    faults.push(format!("{document}:{}: `{word}`", number + 1));
                }
            }
        }
    }
    assert_none("documents name what is not there", &faults);
}

#[test]
fn the_pages_of_stores_give_the_defaults_of_the_registry() {
    let mut faults = Vec::new();
    for driver in DRIVERS {
        let page = format!("docs/stores/{}.md", driver.name);
        let Availability::Ready(implementation) = driver.availability else {
            continue;
        };
        if !exists(&page) {
            continue;
        }
        let page = text(&page).unwrap();
        for option in implementation.options {
            let name = format!("`{}`", option.name);
            let rows = page.lines().map(|line| line.split('|').skip(1));
            let told =
                rows.filter_map(|mut row| row.next()?.contains(&name).then(|| row.next())?);
            let told = told.take(1).collect::<String>().trim().replace('`', "");
            let default = option.default.replace('`', "");
            // A page may say more: "5 to write, 60 to read".
            if told != default && !told.starts_with(&format!("{default} ")) {
                let (driver, option) = (driver.name, option.name);
                faults.push(format!("{driver}, `{option}`: {told:?}, not {default:?}"));
            }
        }
    }
    assert_none("pages of stores have other defaults", &faults);
}

#[test]
fn a_decision_begins_with_its_number() {
    let decisions = documents()
        .into_iter()
        .filter(|path| path.starts_with("docs/decisions/"));
    let mut faults = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for path in decisions {
        let number = path["docs/decisions/".len()..][..4].to_owned();
        if !text(&path).unwrap().starts_with(&format!("# {number}: ")) {
            faults.push(format!("{path} does not begin with `# {number}: `"));
        }
        if seen.contains(&number) {
            faults.push(format!("{path}: another decision has that number"));
        }
        seen.push(number);
    }
    assert_none("decisions are told apart by their numbers", &faults);
}

/// Checks the marked block `name` of `document` against `expected`.
fn check_block(document: &str, name: &str, expected: &str) {
    let (begin, end) = (
        format!("<!-- {name}:begin -->\n"),
        format!("<!-- {name}:end -->"),
    );
    let whole = text(document).unwrap_or_else(|| panic!("{document} is not UTF-8"));
    let parts = whole
        .split_once(&begin)
        .and_then(|(before, rest)| Some((before, rest.split_once(&end)?)));
    let block = parts.map(|(_, (block, _))| block);
    if let (Some((before, (_, after))), true) =
        (parts, std::env::var_os("UPDATE_DOCUMENTS").is_some())
    {
        let updated = format!("{before}{begin}{expected}{end}{after}");
        std::fs::write(root().join(document), updated).unwrap();
        return;
    }
    assert!(
        block == Some(expected),
        "{document}: the block `{name}` is not what the registry yields; it should read\n{begin}{expected}{end}"
    );
}

#[test]
fn the_readme_lists_the_drivers() {
    let mut table = String::from("| Store | Connection string |\n|---|---|\n");
    for driver in DRIVERS {
        let example = match driver.availability {
            Availability::Ready(implementation) => implementation.example.to_owned(),
            Availability::CompiledOut => format!("{}://", driver.name),
            Availability::Gone(_) => continue,
        };
        writeln!(table, "| {} | `{example}` |", driver.summary).unwrap();
    }
    check_block("README.md", "drivers", &table);
}

/// A driver, what it was tested on, which file says so with which words where that is a certain version, and what osprofiler 4.4.0 was found
/// to do with the store there.
type Tested = (
    &'static str,
    &'static str,
    Option<(&'static str, &'static str)>,
    &'static str,
);
const TESTED: &[Tested] = &[
    ("sqlite", "built in", None, NO_SUCH_STORE),
    ("file", "built in", None, NO_SUCH_STORE),
    ("redis", "Redis 7.0", None, BOTH_WAYS),
    (
        "mongodb",
        "FerretDB 1.24",
        Some(("tests/servers/ferretdb/go.mod", "FerretDB v1.24.")),
        BOTH_WAYS,
    ),
    (
        "elasticsearch",
        "OpenSearch 2.19",
        Some(("tests/servers/opensearch/pom.xml", "<version>2.19.")),
        BOTH_WAYS,
    ),
    ("mysql", "MariaDB 10.11", None, BOTH_WAYS),
    ("postgresql", "PostgreSQL 15", None, BOTH_WAYS),
    ("messaging", "RabbitMQ 3.10", None, BOTH_WAYS),
    (
        "otlp",
        "Jaeger 1.62",
        Some(("tests/servers/jaeger/go.mod", "jaeger v1.62.")),
        "names spans as we do",
    ),
    ("loginsight", "a stand-in", None, BOTH_WAYS),
];
const BOTH_WAYS: &str = "reads and writes the same";
const NO_SUCH_STORE: &str = "has no such store";

#[test]
fn the_pages_of_stores_say_what_each_can_do() {
    let columns = [
        ("read back", Capability::Read),
        ("lists traces", Capability::List),
        ("lists errors", Capability::ListErrors),
        ("`ttl`", Capability::Expires),
        ("`trace prune`", Capability::Prunes),
    ];
    let mut table = String::from("| Store |");
    for (name, _) in columns {
        write!(table, " {name} |").unwrap();
    }
    table += " tested on | osprofiler 4.4.0 |\n|---|---|---|---|---|---|---|---|\n";
    let mut tested = TESTED.iter();
    for driver in DRIVERS {
        let Availability::Ready(implementation) = driver.availability else {
            continue;
        };
        let name = driver.name;
        let Some((_, server, pinned, peer)) = tested.find(|row| row.0 == name) else {
            panic!("`TESTED` has no row of `{name}` in the registry's order");
        };
        if let Some((file, version)) = pinned {
            let whole = text(file).unwrap();
            assert!(whole.contains(version), "{file} has no `{version}`");
        }
        let page = format!("docs/stores/{name}.md");
        let has_page = root().join(page).exists();
        let shown = if has_page {
            format!("[`{name}`]({name}.md)")
        } else {
            format!("`{name}`")
        };
        write!(table, "| {shown} |").unwrap();
        for (_, capability) in columns {
            let can = implementation.capabilities.contains(&capability);
            write!(table, " {} |", if can { "yes" } else { "no" }).unwrap();
        }
        writeln!(table, " {server} | {peer} |").unwrap();
    }
    check_block("docs/stores/README.md", "stores", &table);
}

#[test]
fn the_pages_of_stores_name_stores_that_can_be() {
    let mut faults = Vec::new();
    let mut seen = 0;
    for path in documents()
        .into_iter()
        .filter(|path| path.starts_with("docs/stores/"))
    {
        for line in text(&path).unwrap().lines() {
            let Some(value) = line.strip_prefix("connection_string = ") else {
                continue;
            };
            seen += 1;
            let known = ConnectionStrings::parse(value).and_then(|stores| {
                stores
                    .iter()
                    .try_for_each(|one| capabilities(one).map(drop))
            });
            if let Err(error) = known {
                faults.push(format!("{path}: `{value}`: {error}"));
            }
        }
    }
    assert!(seen >= 8, "{seen} lines were found");
    assert_none("pages configure stores that no service takes", &faults);
}

#[test]
fn exit_codes_are_in_the_documentation() {
    let mut table = String::from("| Code | Meaning |\n|---|---|\n");
    for status in Status::ALL {
        writeln!(table, "| {} | {} |", status.code(), status.meaning()).unwrap();
    }
    check_block("docs/exit-codes.md", "exit-codes", &table);
}
