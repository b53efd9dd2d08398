// SPDX-License-Identifier: Apache-2.0
//! A connection to a collector, and one request over it: HTTP/1.1 or, for gRPC, HTTP/2, plain or with TLS.
//!
//! In: the bytes of an `ExportTraceServiceRequest`. Out: the answer as it came, bounded, or an error that says what of the way failed. The
//! connection lives on a private runtime: what it has to do beside a request is done while one waits. Nothing here knows what an answer means.

use std::error::Error as _;
use std::io;
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper::header::{self, HeaderMap};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::settings::{Collector, Protocol, Settings};
use crate::driver::runtime::Runtime;
use crate::driver::tls::untrusted;
use crate::{Error, ErrorKind, Result};

/// So much of an answer is read; a collector's is some bytes, or says why not.
pub(super) const MOST_ANSWER_BYTES: usize = 64 << 10;

const WHICH_PORT: &str = "is the port its receiver's, and for this protocol? 4318 is usual for HTTP, 4317 for gRPC; the option `protocol` says which";

/// A connection that is open.
pub(super) struct Connection {
    runtime: Runtime,
    sender: Sender,
}

enum Sender {
    Http(http1::SendRequest<Full<Bytes>>),
    Grpc(http2::SendRequest<Full<Bytes>>),
}

/// What a collector said.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Those before the body, and those behind it.
    pub(super) headers: HeaderMap,
    /// The beginning, of one that is too long.
    pub(super) body: Vec<u8>,
}

impl Connection {
    /// Connects, within the settings' time.
    pub(super) fn open(settings: &Settings, collector: &Collector) -> Result<Self> {
        let runtime = Runtime::new()?;
        let sender = runtime.run(settings.connect_timeout, connect(settings, collector))?;
        Ok(Self { runtime, sender })
    }

    /// Sends `message` and waits for the answer, within the settings' time.
    pub(super) fn ask(
        &mut self,
        settings: &Settings,
        collector: &Collector,
        message: &Bytes,
    ) -> Result<Answer> {
        let request = request(settings, collector, message)?;
        let sender = &mut self.sender;
        let asked = async {
            let sent = match sender {
                Sender::Http(sender) => {
                    async {
                        sender.ready().await?;
                        read(sender.send_request(request).await?).await
                    }
                    .await
                }
                Sender::Grpc(sender) => {
                    async {
                        sender.ready().await?;
                        read(sender.send_request(request).await?).await
                    }
                    .await
                }
            };
            sent.map_err(|error| broken(&error))
        };
        self.runtime.run(settings.answer_timeout, asked)
    }
}

async fn connect(settings: &Settings, collector: &Collector) -> Result<Sender> {
    let socket = TcpStream::connect((collector.host.as_str(), collector.port));
    let socket = socket.await.map_err(|error| unreachable(&error))?;
    // What is sent is whole: there is nothing to wait for. A socket that cannot do so is only slower.
    let _ = socket.set_nodelay(true);
    let Some(trust) = &settings.tls else {
        return shake_hands(settings.protocol, socket).await;
    };
    let mut client = trust.client()?;
    client.alpn_protocols = match settings.protocol {
        Protocol::Http => vec![b"http/1.1".to_vec()],
        Protocol::Grpc => vec![b"h2".to_vec()],
    };
    let name = ServerName::try_from(collector.host.clone()).map_err(|_| {
        let message = format!("`{}` is no name of a host", collector.host);
        Error::new(ErrorKind::Usage, message)
    })?;
    let socket = TlsConnector::from(Arc::new(client)).connect(name, socket);
    let socket = socket.await.map_err(|error| tls_error(&error))?;
    shake_hands(settings.protocol, socket).await
}

async fn shake_hands<S>(protocol: Protocol, socket: S) -> Result<Sender>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let socket = TokioIo::new(socket);
    // The connection is driven whenever a request waits, and ends with its sender; its error is the request's, too.
    Ok(match protocol {
        Protocol::Http => {
            let (sender, connection) = http1::handshake(socket)
                .await
                .map_err(|error| broken(&error))?;
            drop(tokio::spawn(connection));
            Sender::Http(sender)
        }
        Protocol::Grpc => {
            let shaken = http2::handshake(TokioExecutor::new(), socket).await;
            let (sender, connection) = shaken.map_err(|error| broken(&error))?;
            drop(tokio::spawn(connection));
            Sender::Grpc(sender)
        }
    })
}

fn request(
    settings: &Settings,
    collector: &Collector,
    message: &Bytes,
) -> Result<Request<Full<Bytes>>> {
    let is_grpc = settings.protocol == Protocol::Grpc;
    let scheme = if settings.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let path = &settings.path;
    let mut request = Request::post(if is_grpc {
        format!("{scheme}://{collector}{path}")
    } else {
        path.clone()
    });
    if let Some(headers) = request.headers_mut() {
        headers.extend(settings.headers.iter().cloned());
    }
    request = request.header(
        header::USER_AGENT,
        concat!("osprofiler/", env!("CARGO_PKG_VERSION")),
    );
    let encoding = settings.compresses.then_some("gzip");
    let body = if is_grpc {
        request = request
            .header(header::CONTENT_TYPE, "application/grpc+proto")
            .header(header::TE, "trailers");
        if let Some(encoding) = encoding {
            request = request.header("grpc-encoding", encoding);
        }
        Bytes::from(frame(settings.compresses, message))
    } else {
        request = request
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .header(header::HOST, collector.to_string());
        if let Some(encoding) = encoding {
            request = request.header(header::CONTENT_ENCODING, encoding);
        }
        message.clone()
    };
    request
        .body(Full::new(body))
        .map_err(|error| Error::new(ErrorKind::Usage, format!("cannot make a request: {error}")))
}

/// A message as gRPC sends it: whether it is compressed, its length, itself.
fn frame(is_compressed: bool, message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(message.len() + 5);
    frame.push(u8::from(is_compressed));
    // Requests are some MiB.
    frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
    frame.extend_from_slice(message);
    frame
}

async fn read(
    response: Response<hyper::body::Incoming>,
) -> std::result::Result<Answer, hyper::Error> {
    let (head, mut incoming) = response.into_parts();
    let (mut headers, mut body) = (head.headers, Vec::new());
    while body.len() < MOST_ANSWER_BYTES {
        let Some(frame) = incoming.frame().await else {
            break;
        };
        match frame?.into_data() {
            Ok(data) => body.extend_from_slice(&data[..data.len().min(MOST_ANSWER_BYTES)]),
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    headers.extend(trailers);
                }
            }
        }
    }
    Ok(Answer {
        status: head.status,
        headers,
        body,
    })
}

fn unreachable(error: &io::Error) -> Error {
    let why = match error.kind() {
        io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        _ => error.to_string(),
    };
    Error::new(ErrorKind::Unavailable, why)
        .with_help("is the collector running, and is the port its receiver's? 4318 is usual for HTTP, 4317 for gRPC")
}

fn tls_error(error: &io::Error) -> Error {
    let failed = |why: String| Error::new(ErrorKind::Denied, why).set_temporary(true);
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => failed(untrusted(why))
            .with_help("name the authority that it comes from: `tls_ca_file=/path/ca.pem`"),
        Some(rustls::Error::InvalidMessage(_)) => {
            failed("what answers there speaks no TLS".to_owned())
                .with_help("write `otlp://`, or name the port for TLS")
        }
        Some(rustls::Error::AlertReceived(why)) => failed(format!("it refuses TLS: {why:?}"))
            .with_help("it may want a certificate of ours: `tls_cert_file` and `tls_key_file`"),
        Some(other) => failed(format!("no TLS: {other}")),
        None => broken_off(&error),
    }
}

/// What a failure of the connection means: it broke off, or what came was no HTTP.
fn broken(error: &hyper::Error) -> Error {
    let why = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let is_nonsense =
        error.is_parse() || why.contains("http2 error") && !why.contains("broken pipe");
    if is_nonsense {
        return Error::new(
            ErrorKind::Corrupt,
            format!("what answers is no collector: {why}"),
        )
        .with_help(WHICH_PORT)
        .set_temporary(true);
    }
    broken_off(&why)
}

fn broken_off(why: &dyn std::fmt::Display) -> Error {
    let message = format!("the connection broke off: {why}");
    Error::new(ErrorKind::Unavailable, message).with_help(WHICH_PORT)
}
