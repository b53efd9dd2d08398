// SPDX-License-Identifier: Apache-2.0
//! A collector of OpenTelemetry's, Jaeger's. The bare loop: the very requests that our driver makes of the batches, ready, sent with
//! the client that it has.
//!
//! A store is what has a prefix of its own before the names of its services. It is written only, so the server is asked
//! how many spans it saved: it takes requests into a queue, and what finds no room there is gone without a word.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use osprofiler::Notifications;
use osprofiler::driver::{ConnectionString, registry};

use super::{Loop, Store, Upstream};
use crate::Outcome;

pub(super) const STORE: Store = Store {
    driver: "otlp",
    floor_summary: "our ready requests, posted",
    floor,
    options: "&service_name_prefix=store{}",
    upstream,
    of_upstream: None,
    points: Some(points),
};

/// Names where Jaeger's own figures are to be had.
const FIGURES: &str = "OSPROFILER_TEST_OTLP_FIGURES";
const SAVED: &str = "jaeger_collector_spans_saved_by_svc_total{";
/// Jaeger's answer when it takes all spans: a partial success with nothing in it.
const ALL_TAKEN: &[u8] = b"\n\0";

fn floor(store: &str, batches: &[Notifications]) -> Outcome<Loop> {
    let requests = requests(store, batches)?;
    let connection = ConnectionString::parse(store)?;
    let collector = connection.authority().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut sender = runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(&collector).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        drop(tokio::spawn(connection));
        Outcome::Ok(sender)
    })?;
    Ok(Box::new(move || {
        runtime.block_on(async {
            for body in requests {
                let request = Request::post("/v1/traces")
                    .header("host", &collector)
                    .header("content-type", "application/x-protobuf")
                    .body(Full::new(body))?;
                sender.ready().await?;
                let answer = sender.send_request(request).await?;
                let status = answer.status();
                let said = answer.into_body().collect().await?.to_bytes();
                if status != StatusCode::OK || said != ALL_TAKEN {
                    return Err(format!("not all was taken: {status}, {said:?}").into());
                }
            }
            Ok(())
        })
    }))
}

/// What our driver sends to that store: each request as a collector gets it.
fn requests(store: &str, batches: &[Notifications]) -> Outcome<Vec<Bytes>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (_, options) = store.split_once('?').ok_or("no options")?;
    let collector = format!("otlp://{}?{options}", listener.local_addr()?);
    let taking = std::thread::spawn(move || take(listener.accept()?.0));
    let mut writer = registry::open_writer(&ConnectionString::parse(&collector)?)?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    drop(writer);
    let requests = taking.join().map_err(|_| "taking requests failed")?;
    Ok(requests?)
}

/// The requests that come over a connection until it ends, all taken.
fn take(mut socket: TcpStream) -> std::io::Result<Vec<Bytes>> {
    let mut reader = BufReader::new(socket.try_clone()?);
    let mut requests = Vec::new();
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
        if line == "\r\n" {
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            requests.push(body.into());
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
        }
        line.clear();
    }
    Ok(requests)
}

/// The spans that Jaeger says it saved of the services with the store's prefix.
fn points(store: &str) -> Outcome<usize> {
    let connection = ConnectionString::parse(store)?;
    let prefix = connection.option("service_name_prefix");
    let service = format!("svc=\"{}-", prefix.ok_or("no prefix")?);
    let url = std::env::var(FIGURES).map_err(|_| format!("`{FIGURES}` names no figures"))?;
    let figures = ureq::get(&url).call()?.body_mut().read_to_string()?;
    let mut count = 0;
    for line in figures.lines().filter(|line| line.starts_with(SAVED)) {
        if line.contains(r#"result="ok""#) && line.contains(&service) {
            let (_, number) = line.rsplit_once(' ').ok_or("a line without a number")?;
            count += number.parse::<f64>()? as usize;
        }
    }
    Ok(count)
}

/// The service that upstream's notifications are measured with is `p-s`.
fn upstream(store: &str) -> Upstream {
    let (address, _) = store.split_once('?').unwrap_or((store, ""));
    Upstream {
        ours: format!("{address}?service_name_prefix=p"),
        ..Upstream::alike(address)
    }
}
