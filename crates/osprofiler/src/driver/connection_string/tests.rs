// SPDX-License-Identifier: Apache-2.0
//! What is read of connection strings, what is shown of them, and what is refused.

use super::*;

/// `expected` is what `Display` shows, with the file after ` -> ` where there is one.
fn check(text: &str, expected: &str) {
    let connection = ConnectionString::parse(text).unwrap();
    let mut shown = connection.to_string();
    if let Ok(path) = connection.file_path() {
        shown = format!("{shown} -> {}", path.display());
    }
    assert_eq!(shown, expected, "{text}");
    assert!(!format!("{connection:?}").contains("s3cret"), "{text}");
    if let Err(error) = connection.file_path() {
        assert!(!format!("{error:?}").contains("s3cret"), "{text}");
    }
}

#[test]
fn parts_are_found_and_secrets_are_not_shown() {
    for (text, expected) in [
        (
            "sqlite:///srv/trace.db",
            "sqlite:///srv/trace.db -> /srv/trace.db",
        ),
        (
            "sqlite:////srv/trace.db",
            "sqlite:////srv/trace.db -> /srv/trace.db",
        ),
        (
            "file:///a%20b@c.jsonl",
            "file:///a b@c.jsonl -> /a b@c.jsonl",
        ),
        ("SQLite:///x?max_size=1GB", "sqlite:///x?max_size=1GB -> /x"),
        ("messaging", "messaging://"),
        ("redis://h", "redis://h"),
        ("redis://:s3cret@h:6379/2", "redis://:***@h:6379/2"),
        ("redis://:s3cret%40@h", "redis://:***@h"),
        ("redis://u:@s3cret@h/1", "redis://u:***@h/1"),
        ("redis://u:a/s3cret@h/1", "redis://u:***@h/1"),
        ("redis://u:a?s3cret@h/1?db=2", "redis://u:***@h/1?db=2"),
        ("redis://u:1?s3cret@h/1", "redis://u:***@h/1"),
        ("redis://u:1?db=2&s3cret@h", "redis://u:***@h"),
        ("redis://u:1/s3cret?db@h", "redis://u:***@h"),
        ("redis://u:?s3cret@h", "redis://u:***@h"),
        ("redis://u:99999?db=s3cret@h", "redis://u:***@h"),
        ("redis://u:a@b?s3cret@h/1?db=2", "redis://u:***@h/1?db=2"),
        ("redis://u:a@b:1?s3cret@h", "redis://u:***@h"),
        ("redis://u:1#%&=,s3cret@h?db=2", "redis://u:***@h?db=2"),
        (
            "redis://h:1,[::1]:2?sentinel=m&sentinel_password=a?@s3cret&db=1",
            "redis://h:1,[::1]:2?sentinel=m&sentinel_password=***&db=1",
        ),
        (
            "unix://:s3cret@/run/redis?db=2",
            "unix://:***@/run/redis?db=2",
        ),
        (
            "mongodb://u:s3cret@a:1,b:2,[::1]:3/?replicaSet=r",
            "mongodb://u:***@a:1,b:2,[::1]:3/?replicaSet=r",
        ),
        (
            "redis://h?password=s3cret&db=1",
            "redis://h?password=***&db=1",
        ),
        ("es://h?API_Key=s3cret", "es://h?API_Key=***"),
        ("otlp://h?headers=a=s3cret", "otlp://h?headers=***"),
        ("x://h:4318/x?mail=a@b", "x://h:4318/x?mail=a@b"),
        (
            "messaging://?transport_url=rabbit://u:1?s3cret@h/v&topic=t",
            "messaging://?transport_url=rabbit://u:***@h/v&topic=t",
        ),
        (
            "messaging://?transport_url=rabbit://u:1&s3cret@h",
            "messaging://?transport_url=rabbit:***@h",
        ),
        (
            "messaging://?transport_url=rabbit://u:s3cret@h:5672/v&topic=t",
            "messaging://?transport_url=rabbit://u:***@h:5672/v&topic=t",
        ),
        (
            "x://?a=rabbit%3A%2F%2Fu%3As3cret%40h1,u:s3cret@@h2&b=http://h:1/a:b",
            "x://?a=rabbit://u:***@h2&b=http://h:1/a:b",
        ),
        (
            "x://h?urls=http://a:1/b,amqp://:s3cret@c,amqp://u:d://s3cret@e",
            "x://h?urls=http://a:1/b,amqp://:***@c,amqp://u:***@e",
        ),
    ] {
        check(text, expected);
    }
}

#[cfg(feature = "redis")]
#[test]
fn what_is_no_option_of_the_driver_is_the_passwords() {
    for (text, expected) in [
        ("redis://u:1?s3cret=@h/1?db=2", "redis://u:***@h/1?db=2"),
        ("redis://u:1?db=2&s3cret=a@h", "redis://u:***@h"),
        ("redis://h:1?DB=a@b", "redis://h:***@b"),
        ("redis://h:1?db=a@b", "redis://h:1?db=a@b"),
    ] {
        check(text, expected);
    }
}

#[test]
fn what_messages_must_not_show_is_named() {
    for (text, expected) in [
        ("redis://u:a@h?token=b&db=1", &["a", "b"][..]),
        ("redis://u:1?b@h/1", &["1?b"]),
        (
            "x://h?urls=http://a:1/b,amqp://u:c@d,amqp://:e@f",
            &["c", "e"],
        ),
    ] {
        let connection = ConnectionString::parse(text).unwrap();
        assert_eq!(connection.secrets().collect::<Vec<_>>(), expected, "{text}");
    }
}

#[test]
fn a_password_comes_back_decoded() {
    for (text, user, password) in [
        ("redis://:p%40%2F@h", None, Some("p@/")),
        ("redis://u@h", Some("u"), None),
        ("redis://u:@h", Some("u"), Some("")),
        ("redis://u:a:b@h", Some("u"), Some("a:b")),
        ("redis://u:1?a@b/c@h/2?db=1", Some("u"), Some("1?a@b/c")),
        ("redis://h:1?db=1", None, None),
        ("redis://h:1", None, None),
    ] {
        let connection = ConnectionString::parse(text).unwrap();
        assert_eq!(
            (connection.user(), connection.password()),
            (user, password),
            "{text}"
        );
    }
}

#[test]
fn each_host_of_a_replica_set_is_found() {
    let connection = ConnectionString::parse("mongodb://a:1,b,[::1]:3/x").unwrap();
    assert_eq!(
        connection.hosts().collect::<Vec<_>>(),
        [("a", Some(1)), ("b", None), ("::1", Some(3))]
    );
}

#[test]
fn the_last_of_two_equal_options_counts() {
    let connection = ConnectionString::parse("x://h?a=1&b&a=%32").unwrap();
    assert_eq!(connection.option("a"), Some("2"));
    assert_eq!(connection.option("b"), Some(""));
    assert_eq!(connection.option("c"), None);
}

#[test]
fn what_is_no_connection_string_is_refused_without_repeating_it() {
    for text in [
        "",
        "  ",
        "://s3cret",
        "a b://s3cret",
        "s3cret:s3cret",
        "/x:s3cret@h",
        "//s3cret",
        "redis://h;otlp://s3cret",
        "1x://s3cret",
        "x://:%ff@s3cret",
    ] {
        let error = ConnectionString::parse(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(!format!("{error:?}").contains("s3cret"), "{text}");
    }
}

const NO_PATH: &str = "write `scheme://...`, for example `sqlite:///var/lib/osprofiler/traces.db`";

#[test]
fn a_path_without_a_scheme_is_told_the_one_to_write() {
    for (text, expected) in [
        ("/srv/t.db", "did you mean `sqlite:///srv/t.db`?"),
        ("/srv/t.jsonl", "did you mean `file:///srv/t.jsonl`?"),
        (
            "/srv/new folder/t.db",
            "did you mean `sqlite:///srv/new%20folder/t.db`?",
        ),
        ("/a.db /b.db", NO_PATH),
        ("/a=1", NO_PATH),
        ("/a&1", NO_PATH),
        ("/a%1", NO_PATH),
        ("/a.db # s3cret", NO_PATH),
    ] {
        let error = ConnectionString::parse(text).unwrap_err();
        assert_eq!(error.help(), Some(expected));
    }
}

#[test]
fn several_stores_are_not_one_path() {
    for text in [
        "sqlite:///a.db;file:///b.jsonl",
        "sqlite:///a.db file:///b.jsonl",
        "sqlite:///a.db,/b.db",
        "sqlite:///a.db /b.db",
        "sqlite:///a.db;/b.db",
        "redis://h;otlp://c",
        "redis://u:s3cret@h otlp://c",
        "redis://h;redis://:s3cret@h",
        "redis://:s3cret@h; redis://:s3cret@h",
        "otlp://c\nredis://:s3cret@h",
    ] {
        let error = ConnectionString::parse(text).unwrap_err();
        assert!(error.to_string().contains("more than one store"), "{text}");
        assert!(error.help().unwrap().contains("by commas"), "{text}");
        assert!(!format!("{error:?}").contains("s3cret"), "{text}");
    }
    check("redis://u:;x://s3cret@h", "redis://u:***@h");
    check("redis://u:s3cret; http://x@h", "redis://u:***@h");
    check(
        "otlp://c?headers=referer=see http://x",
        "otlp://c?headers=***",
    );
    check("sqlite:///a%2C/b%3A//c", "sqlite:///a,/b://c -> /a,/b://c");
}

#[test]
fn a_scheme_behind_a_scheme_is_no_user() {
    for (text, help) in [
        ("otlp://http://c:4318", "leave out `http://`: `otlp://...`"),
        (
            "elasticsearch://https://u:s3cret@h:9200",
            "write `elasticsearchs://...`",
        ),
        (
            "mongodb://https://h",
            "leave out `https://`: `mongodb://...`; how its TLS is switched on is an option's affair",
        ),
        ("redis://Redis://:s3cret@h", "write it once: `redis://...`"),
        (
            "redis://mongodb://:s3cret@h",
            "leave one of them out: `redis://...` or `mongodb://...`",
        ),
    ] {
        let error = ConnectionString::parse(text).unwrap_err();
        assert_eq!(error.help(), Some(help), "{text}");
        assert!(error.to_string().ends_with("another scheme"), "{error:?}");
        assert!(!format!("{error:?}").contains("s3cret"), "{text}");
    }
    check("redis://u://s3cret@h", "redis://u:***@h");
    // The end of a letter is not its next byte.
    check("redis://u:pé://s3cret@h", "redis://u:***@h");
}

#[test]
fn a_file_is_found_by_what_is_written_of_it() {
    for path in [
        "/srv/x.db",
        "/a b;c,/d?e%41/f://g",
        "/é\t/x",
        "/srv/x\u{3000}",
    ] {
        let text = ConnectionString::of_file("sqlite", Path::new(path));
        let connection = ConnectionString::parse(&text).unwrap();
        assert_eq!(connection.file_path().unwrap(), Path::new(path), "{text}");
    }
}

#[test]
fn who_writes_a_relative_path_is_shown_an_absolute_one() {
    for (text, expected) in [
        (
            "sqlite://trace.db",
            "`sqlite:///var/lib/osprofiler/trace.db`",
        ),
        ("file://a/b", "`file:///var/lib/osprofiler/b`"),
        ("file://", "`file:///var/lib/osprofiler/traces.jsonl`"),
        (
            "sqlite://u:s3cret@h",
            "`sqlite:///var/lib/osprofiler/traces.db`",
        ),
    ] {
        let error = ConnectionString::parse(text)
            .unwrap()
            .file_path()
            .unwrap_err();
        assert!(error.help().unwrap().ends_with(expected), "{error:?}");
    }
}

#[test]
fn a_path_must_be_absolute_and_name_a_file() {
    for text in [
        "sqlite://trace.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///a/",
        "sqlite://rel/a",
        "file:///a%00b",
    ] {
        let error = ConnectionString::parse(text)
            .unwrap()
            .file_path()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{text}");
    }
}
