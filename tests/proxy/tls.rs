//! Upstreams behind TLS. The certificate and its key are of no use elsewhere: they were made for
//! `localhost`, and nobody trusts them unless told to.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::fixture::PATIENCE;

const CERTIFICATE: &[u8] = include_bytes!("certificate/certificate.der");
const KEY: &[u8] = include_bytes!("certificate/key.der");
const PEM: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/proxy/certificate/certificate.pem"
);

/// Says by which HTTP and for whom it was asked.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let host = head.uri.authority().map(|host| host.to_string());
    let host = host.or_else(|| Some(head.headers.get("host")?.to_str().ok()?.to_owned()));
    let asked: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
    let result = json!({"http2": head.version == Version::HTTP_2, "host": host});
    let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": result}).to_string();
    let mut answer = Response::new(Full::from(answer));
    let json = "application/json".parse().unwrap();
    answer.headers_mut().insert("content-type", json);
    Ok(answer)
}

/// A server that speaks this by its own choice.
async fn serve(protocol: &'static [u8]) -> SocketAddr {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(KEY));
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(CERTIFICATE)], key)
        .unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else {
                continue; // it does not trust us
            };
            let stream = TokioIo::new(stream);
            tokio::spawn(async move {
                let service = service_fn(answer);
                let _ = if protocol == b"h2" {
                    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    builder.serve_connection(stream, service).await
                } else {
                    let builder = hyper::server::conn::http1::Builder::new();
                    builder.serve_connection(stream, service).await
                };
            });
        }
    });
    address
}

fn forward(address: SocketAddr) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plunge"));
    let url = format!("https://localhost:{}/mcp", address.port());
    command
        .args(["forward", "--mode", "session", "--mcp-http", &url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// What an `initialize` gets.
async fn ask(command: &mut Command) -> Value {
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
    input
        .write_all(format!("{hello}\n").as_bytes())
        .await
        .unwrap();
    let mut line = String::new();
    let read = tokio::time::timeout(PATIENCE, output.read_line(&mut line)).await;
    read.expect("an answer in time").unwrap();
    serde_json::from_str(&line).unwrap()
}

#[tokio::test]
async fn an_upstream_that_is_trusted_is_asked_by_the_http_that_it_prefers() {
    for (protocol, is_http2) in [(&b"h2"[..], true), (b"http/1.1", false)] {
        let address = serve(protocol).await;
        let answer = ask(forward(address).env("SSL_CERT_FILE", PEM)).await;
        let host = format!("localhost:{}", address.port());
        assert_eq!(answer["result"], json!({"http2": is_http2, "host": host}));
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_trusted_is_told_nothing() {
    let address = serve(b"h2").await;
    let answer = ask(forward(address)
        .env_remove("SSL_CERT_FILE")
        .env("RUST_LOG", "off"))
    .await;
    let text = answer["error"]["message"].as_str().unwrap();
    assert!(text.contains("certificate"), "{text}");
}
