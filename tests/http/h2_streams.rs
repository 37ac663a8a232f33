//! Upstreams in h2 that allow few streams at a time, or few connections: what does not fit waits, and nobody is blamed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::{Request, Response, StatusCode};
use plunge::proxy::plain::{Gateway, UpstreamOptions};
use plunge::transport::http::HttpTarget;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::fixture::{PATIENCE, addresses, eventually, is_at_rest, options};
use crate::h2::{Body, client, whole};

/// An upstream that allows so many streams of a connection at a time, and never ends an answer; with a word in the
/// path it goes away after it. How many connections it had.
async fn narrow(streams: u32) -> (UpstreamOptions, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = HttpTarget::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let mut server = h2::server::Builder::new();
            server.max_concurrent_streams(streams);
            tokio::spawn(async move {
                let mut connection = server.handshake::<_, Bytes>(stream).await.unwrap();
                let mut kept = Vec::new();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    kept.push(respond.send_response(Response::new(()), false).unwrap());
                    if request.uri().path() == "/last" {
                        connection.graceful_shutdown();
                    }
                }
            });
        }
    });
    let mut upstream = UpstreamOptions::new("narrow", vec![target]);
    upstream.h2 = true;
    (upstream, connections)
}

async fn ask(
    sender: &mut http2::SendRequest<Body>,
    address: SocketAddr,
    path: &str,
) -> Response<Incoming> {
    let request = Request::get(format!("http://{address}{path}"));
    let asking = sender.send_request(request.body(whole("")).unwrap());
    timeout(PATIENCE, asking).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_beyond_the_streams_of_one_connection_goes_over_the_next() {
    let (upstream, connections) = narrow(2).await;
    let gateway = Gateway::start(options(upstream)).unwrap();
    let address = gateway.address();
    let mut sender = client(address).await;
    let mut kept = Vec::new();
    for _ in 0..5 {
        let answer = ask(&mut sender, address, "/").await;
        assert_eq!(answer.status(), StatusCode::OK);
        kept.push(answer);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 3);
    drop(kept);
    eventually("nothing is held", || is_at_rest(&gateway));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_connections_a_request_waits_for_a_stream_and_blames_nobody() {
    let (mut upstream, connections) = narrow(1).await;
    upstream.max_connections = 1;
    upstream.breaker.failures = 1;
    upstream.timeouts.request = Duration::from_millis(200);
    let gateway = Gateway::start(options(upstream)).unwrap();
    let address = gateway.address();
    let mut sender = client(address).await;
    let first = ask(&mut sender, address, "/").await;
    assert_eq!(first.status(), StatusCode::OK);
    let late = ask(&mut sender, address, "/").await;
    assert_eq!(late.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(addresses(&gateway)[0].failures, 0);
    // One that waits gets the stream of another that ends.
    let mut other = sender.clone();
    let waiting = tokio::spawn(async move { ask(&mut other, address, "/").await.status() });
    eventually("it is on its way", || addresses(&gateway)[0].in_flight == 2);
    drop(first);
    assert_eq!(waiting.await.unwrap(), StatusCode::OK);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_that_wait_in_line_for_a_connection_blame_nobody() {
    let (mut upstream, _) = narrow(100).await;
    upstream.max_connections = 1;
    upstream.breaker.failures = 1;
    upstream.acquire_timeout = Duration::from_millis(100);
    upstream.timeouts.connect = Duration::from_millis(100);
    let gateway = Gateway::start(options(upstream)).unwrap();
    let address = gateway.address();
    let sender = client(address).await;
    // It holds the only connection, which takes no more.
    let long = ask(&mut sender.clone(), address, "/last").await;
    assert_eq!(long.status(), StatusCode::OK);
    let asked = (0..8).map(|_| {
        let mut sender = sender.clone();
        async move { ask(&mut sender, address, "/").await.status() }
    });
    for status in join_all(asked).await {
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(addresses(&gateway)[0].failures, 0);
    drop(long);
}
