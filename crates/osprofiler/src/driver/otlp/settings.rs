// SPDX-License-Identifier: Apache-2.0
//! What a connection string says: which collectors there are, how they are spoken to, and who we are to them.
//!
//! In: a connection string whose options are known to be the driver's. Out: checked values, or one error that says what would do.
//! Opens nothing; certificates are read when a connection is made.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{self, HeaderName, HeaderValue};

use crate::driver::tls::Trust;
use crate::driver::{ConnectionString, options};
use crate::{Error, ErrorKind, Result};

const HTTP_PORT: u16 = 4318;
const GRPC_PORT: u16 = 4317;
/// Where collectors take traces over HTTP, behind whatever the connection string has as its path.
const HTTP_PATH: &str = "/v1/traces";
/// And over gRPC.
const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// A connection string, understood.
pub(super) struct Settings {
    /// The connection string for messages, without its secrets.
    pub(super) shown: String,
    /// At least one.
    pub(super) collectors: Vec<Collector>,
    pub(super) protocol: Protocol,
    /// What a request is for: a path that begins with `/`.
    pub(super) path: String,
    /// What goes with each request; marked as secret.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) compresses: bool,
    /// `None` without TLS.
    pub(super) tls: Option<Trust>,
    pub(super) connect_timeout: Duration,
    pub(super) answer_timeout: Duration,
    /// What comes before the names of services.
    pub(super) service_name_prefix: Option<String>,
}

/// How a collector is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    Grpc,
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Collector {
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
}

impl std::fmt::Display for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Settings {
    pub(super) fn of(connection: &ConnectionString) -> Result<Self> {
        let wanted = connection.option("protocol").map(protocol).transpose()?;
        let mut collectors = Vec::new();
        let hosts = connection.authority().split(',');
        for text in hosts.filter(|text| !text.is_empty()) {
            let Some((host, port)) = parse_host(text) else {
                return Err(usage(format!(
                    "`{connection}` names a collector that cannot be: `{text}`"
                ))
                .with_help("write `host:port`, an IPv6 address in brackets: `[::1]:4318`"));
            };
            collectors.push((host, port));
        }
        if collectors.is_empty() {
            return Err(usage(format!("`{connection}` names no collector"))
                .with_help("write its host and port: `otlp://collector.example:4318`"));
        }
        let is_grpc = collectors.iter().all(|(_, port)| *port == Some(GRPC_PORT));
        let (protocol, usual_port) = match wanted {
            Some(Protocol::Grpc) => (Protocol::Grpc, GRPC_PORT),
            None if is_grpc => (Protocol::Grpc, GRPC_PORT),
            Some(Protocol::Http) | None => (Protocol::Http, HTTP_PORT),
        };
        let collectors = collectors.into_iter().map(|(host, port)| Collector {
            host: host.to_owned(),
            port: port.unwrap_or(usual_port),
        });
        let tls = (connection.scheme() == "otlps")
            .then(|| trust(connection))
            .transpose()?;
        Ok(Self {
            shown: connection.to_string(),
            collectors: collectors.collect(),
            protocol,
            path: path(connection, protocol)?,
            headers: headers(connection)?,
            compresses: match connection.option("compression") {
                None | Some("none") => false,
                Some("gzip") => true,
                Some(other) => {
                    return Err(
                        usage(format!("the option `compression` cannot be `{other}`"))
                            .with_help("write `gzip` or `none`"),
                    );
                }
            },
            tls,
            connect_timeout: options::seconds(
                connection,
                "connect_timeout",
                Duration::from_secs(2),
            )?,
            answer_timeout: options::seconds(connection, "socket_timeout", Duration::from_secs(5))?,
            service_name_prefix: connection.option("service_name_prefix").map(str::to_owned),
        })
    }
}

fn protocol(text: &str) -> Result<Protocol> {
    match text {
        "http" | "http/protobuf" => Ok(Protocol::Http),
        "grpc" => Ok(Protocol::Grpc),
        "http/json" => Err(usage(
            "JSON is not spoken here, and no collector asks for it".to_owned(),
        )
        .with_help("write `protocol=http` or `protocol=grpc`")),
        _ => Err(usage(format!("the option `protocol` cannot be `{text}`"))
            .with_help("write `http` or `grpc`")),
    }
}

/// Reads `host`, `host:port`, `[address]` or `[address]:port`.
fn parse_host(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((host, rest)) => (host, (!rest.is_empty()).then_some(rest)),
        None => match text.find(':') {
            Some(colon) => (&text[..colon], Some(&text[colon..])),
            None => (text, None),
        },
    };
    let port = match port {
        None => None,
        Some(port) => {
            let port: u16 = port.strip_prefix(':')?.parse().ok()?;
            Some(port).filter(|&port| port > 0)?.into()
        }
    };
    let is_host = !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
    is_host.then_some((host, port))
}

/// The path of requests. One over HTTP may begin with what a proxy tells tenants apart by.
fn path(connection: &ConnectionString, protocol: Protocol) -> Result<String> {
    let prefix = connection.path().trim_end_matches('/');
    if protocol == Protocol::Grpc {
        return if prefix.is_empty() {
            Ok(GRPC_PATH.to_owned())
        } else {
            Err(usage(format!(
                "`{connection}` has a path, and gRPC has none to choose"
            ))
            .with_help("leave it out, or speak HTTP: `?protocol=http`"))
        };
    }
    let encoded: String =
        percent_encoding::utf8_percent_encode(prefix, percent_encoding::CONTROLS).to_string();
    if encoded.contains([' ', '#', '?', '"', '<', '>']) {
        return Err(usage(format!(
            "`{connection}` has a path that no request can have"
        )));
    }
    Ok(if encoded.ends_with(HTTP_PATH) {
        encoded
    } else {
        encoded + HTTP_PATH
    })
}

/// What goes with each request: user and password, and the options `headers`. No error repeats what may be a secret.
fn headers(connection: &ConnectionString) -> Result<Vec<(HeaderName, HeaderValue)>> {
    let mut headers = Vec::new();
    if connection.user().is_some() || connection.password().is_some() {
        let user = connection.user().unwrap_or_default();
        let password = connection.password().unwrap_or_default();
        let text = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        headers.push((header::AUTHORIZATION, secret(&text)?));
    }
    let options = connection.options().filter(|(name, _)| *name == "headers");
    let pairs = options
        .flat_map(|(_, value)| value.split(','))
        .map(str::trim);
    for pair in pairs.filter(|pair| !pair.is_empty()) {
        let wrong = || {
            usage("the option `headers` cannot be what it is".to_owned()).with_help(
                "write `headers=name=value,name=value`, or give the option several times",
            )
        };
        let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
        headers.push((name, secret(value.trim())?));
    }
    Ok(headers)
}

fn secret(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| usage("what is to go with each request cannot be in a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn trust(connection: &ConnectionString) -> Result<Trust> {
    let text = |name: &str| connection.option(name).map(str::to_owned);
    let identity = match (text("tls_cert_file"), text("tls_key_file")) {
        (None, None) => None,
        // One file may hold both.
        (Some(certificate), key) => Some((certificate.clone(), key.unwrap_or(certificate))),
        (None, Some(_)) => {
            return Err(
                usage("`tls_key_file` is the key of no certificate".to_owned())
                    .with_help("name the certificate, too: `tls_cert_file=/path/to/client.pem`"),
            );
        }
    };
    Ok(Trust {
        authorities: text("tls_ca_file"),
        anybody: !options::is_on(connection, "tls_verify", true)?,
        any_name: false,
        identity,
    })
}

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<Settings> {
        Settings::of(&ConnectionString::parse(text).unwrap())
    }

    /// `expected` are the protocol, the collectors and the path.
    fn check(text: &str, expected: &str) {
        let settings = settings(text).unwrap();
        let collectors: Vec<_> = settings
            .collectors
            .iter()
            .map(ToString::to_string)
            .collect();
        let protocol = settings.protocol;
        assert_eq!(
            format!("{protocol:?} {} {}", collectors.join(","), settings.path),
            expected,
            "{text}"
        );
    }

    #[test]
    fn a_connection_string_says_where_and_how() {
        check("otlp://h", "Http h:4318 /v1/traces");
        check("otlp://h/", "Http h:4318 /v1/traces");
        check("otlp://h:80/a/b/", "Http h:80 /a/b/v1/traces");
        check("otlps://h:443/otlp/v1/traces", "Http h:443 /otlp/v1/traces");
        check("otlp://[::1]:1,b", "Http [::1]:1,b:4318 /v1/traces");
        let export = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        check("otlp://h:4317", &format!("Grpc h:4317 {export}"));
        check(
            "otlp://h:1,b?protocol=grpc",
            &format!("Grpc h:1,b:4317 {export}"),
        );
        check(
            "otlp://h:4317?protocol=http/protobuf",
            "Http h:4317 /v1/traces",
        );
        check("otlp://a:4317,b:4318", "Http a:4317,b:4318 /v1/traces");
    }

    #[test]
    fn what_cannot_be_is_refused_without_its_secrets() {
        for (text, expected) in [
            ("otlp://", "names no collector"),
            ("otlp://,", "names no collector"),
            ("otlp://h:port", "a collector that cannot be: `h:port`"),
            ("otlp://h:0", "a collector that cannot be: `h:0`"),
            ("otlp://h:99999", "a collector that cannot be: `h:99999`"),
            ("otlp://u:s3cret@:1", "a collector that cannot be: `:1`"),
            ("otlp://h%20i", "a collector that cannot be"),
            ("otlp://h?protocol=tcp", "`protocol` cannot be `tcp`"),
            ("otlp://h?protocol=http/json", "JSON is not spoken here"),
            ("otlp://h/x?protocol=grpc", "gRPC has none to choose"),
            ("otlp://h/a%20b", "a path that no request can have"),
            (
                "otlp://h?compression=zstd",
                "`compression` cannot be `zstd`",
            ),
            ("otlp://h?headers=s3cret", "`headers` cannot be"),
            ("otlp://h?headers=a%20b=s3cret", "`headers` cannot be"),
            ("otlp://h?headers=a=s3cret%01", "cannot be in a header"),
            (
                "otlp://h?socket_timeout=0",
                "`socket_timeout` cannot be `0`",
            ),
            ("otlps://h?tls_key_file=/k", "the key of no certificate"),
            (
                "otlps://h?tls_verify=maybe",
                "`tls_verify` cannot be `maybe`",
            ),
        ] {
            let error = settings(text).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Usage);
            let shown = format!("{error:?}");
            assert!(shown.contains(expected), "{text}: {shown}");
            assert!(!shown.contains("s3cret"), "{text}: {shown}");
        }
    }

    #[test]
    fn headers_go_with_each_request_and_are_shown_nowhere() {
        let text = "otlp://u:s3cret@h?headers=X-Scope=team%201, api-key=s3cret%3D&headers=a=b";
        let settings = settings(text).unwrap();
        let shown = format!("{:?} {}", settings.headers, settings.shown);
        assert!(
            !shown.contains("s3cret") && !shown.contains("team"),
            "{shown}"
        );
        let headers: Vec<_> = settings
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        assert_eq!(
            headers,
            [
                "authorization: Basic dTpzM2NyZXQ=",
                "x-scope: team 1",
                "api-key: s3cret=",
                "a: b"
            ]
        );
    }
}
