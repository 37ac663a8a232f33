//! Upstreams in h2 that allow few streams at a time, or few connections: what does not fit waits, and nobody is blamed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::{Response, StatusCode};
use plunge::proxy::plain::{Gateway, UpstreamOptions};

use crate::fixture::{
    Origin, PATIENCE, addresses, eventually, is_at_rest, options, upstream as to,
};
use crate::h2::{Body, ask, client, place};

/// An upstream that allows so many streams of a connection at a time, and never ends an answer; with a word in the
/// path it goes away after it, or says nothing. How many connections it had.
async fn narrow(streams: u32) -> (UpstreamOptions, Arc<AtomicUsize>) {
    let (listener, upstream) = place("narrow").await;
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let mut server = h2::server::Builder::new();
            server.max_concurrent_streams(streams);
            tokio::spawn(async move {
                let mut connection = server.handshake::<_, Bytes>(stream).await.unwrap();
                let (mut kept, mut hung) = (Vec::new(), Vec::new());
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    if request.uri().path() == "/hang" {
                        hung.push(respond);
                        continue;
                    }
                    // It may be gone by now.
                    kept.extend(respond.send_response(Response::new(()), false));
                    if request.uri().path() == "/last" {
                        connection.graceful_shutdown();
                    }
                }
            });
        }
    });
    (upstream, connections)
}

async fn get(
    sender: &mut http2::SendRequest<Body>,
    address: SocketAddr,
    path: &str,
) -> Response<Incoming> {
    ask(sender, address, "GET", path).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_beyond_the_streams_of_one_connection_goes_over_the_next() {
    let (upstream, connections) = narrow(2).await;
    let gateway = Gateway::start(options(upstream)).unwrap();
    let address = gateway.address();
    let mut sender = client(address).await;
    let mut kept = Vec::new();
    for _ in 0..5 {
        let answer = get(&mut sender, address, "/").await;
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
    upstream.timeouts.request = Duration::from_secs(1);
    let gateway = Gateway::start(options(upstream)).unwrap();
    let address = gateway.address();
    let mut sender = client(address).await;
    let first = get(&mut sender, address, "/").await;
    assert_eq!(first.status(), StatusCode::OK);
    let late = get(&mut sender, address, "/").await;
    assert_eq!(late.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(addresses(&gateway)[0].failures, 0);
    // One that waits gets the stream of another that ends.
    let mut other = sender.clone();
    let waiting = tokio::spawn(async move { get(&mut other, address, "/").await.status() });
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
    let long = get(&mut sender.clone(), address, "/last").await;
    assert_eq!(long.status(), StatusCode::OK);
    let asked = (0..8).map(|_| {
        let mut sender = sender.clone();
        async move { get(&mut sender, address, "/").await.status() }
    });
    for status in join_all(asked).await {
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(addresses(&gateway)[0].failures, 0);
    drop(long);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_on_connections_that_allow_less_than_is_thought_is_served_and_blames_nobody() {
    let (upstream, _) = narrow(2).await;
    let gateway = Gateway::start(options(upstream)).unwrap();
    let address = gateway.address();
    let sender = client(address).await;
    let asking = (0..12).map(|_| {
        let mut sender = sender.clone();
        async move { get(&mut sender, address, "/").await }
    });
    let answers = join_all(asking).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.status() == StatusCode::OK)
    );
    assert_eq!(addresses(&gateway)[0].failures, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_hangs_is_blamed_for_those_that_had_a_stream() {
    let (mut upstream, _) = narrow(2).await;
    upstream.max_connections = 1;
    upstream.breaker.failures = 10;
    upstream.timeouts.request = Duration::from_millis(300);
    let gateway = Gateway::start(options(upstream)).unwrap();
    let address = gateway.address();
    let mut sender = client(address).await;
    let _first = get(&mut sender, address, "/").await;
    let hung = get(&mut sender, address, "/hang").await.status();
    assert_eq!(hung, StatusCode::GATEWAY_TIMEOUT);
    let _second = get(&mut sender, address, "/").await;
    // Both streams are in use.
    let late = get(&mut sender, address, "/hang").await.status();
    assert_eq!(late, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(addresses(&gateway)[0].failures, 1);
}

/// As far as an upstream says in h2 by itself.
const PREFACE: usize = 24;
/// One stream at a time.
const ONE_STREAM: &[u8] = &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_comes_late_blames_nobody_for_those_beyond_it() {
    let origin = Origin::scripted(|talk, _| {
        talk.bytes(PREFACE);
        // A slow start; then it hangs.
        std::thread::sleep(Duration::from_millis(200));
        talk.say(ONE_STREAM);
        while talk.bytes(1).is_some() {}
    });
    let mut upstream = to(&[&origin]);
    (upstream.h2, upstream.max_connections) = (true, 1);
    upstream.timeouts.request = Duration::from_secs(1);
    let gateway = Gateway::start(options(upstream)).unwrap();
    let address = gateway.address();
    let sender = client(address).await;
    let asked = (0..3).map(|_| {
        let mut sender = sender.clone();
        async move { get(&mut sender, address, "/").await.status() }
    });
    let mut statuses = join_all(asked).await;
    statuses.sort();
    let busy = StatusCode::SERVICE_UNAVAILABLE;
    assert_eq!(statuses, [busy, busy, StatusCode::GATEWAY_TIMEOUT]);
    assert_eq!(addresses(&gateway)[0].failures, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_comes_free_serves_who_waits_for_another_connection() {
    let (listener, upstream) = place("first").await;
    tokio::spawn(async move {
        let mut later = Vec::new();
        let mut first = Some(listener.accept().await.unwrap().0);
        loop {
            let Some(stream) = first.take() else {
                // Whoever comes later is never spoken to.
                later.push(listener.accept().await.unwrap());
                continue;
            };
            let mut server = h2::server::Builder::new();
            server.max_concurrent_streams(1);
            tokio::spawn(async move {
                let mut connection = server.handshake::<_, Bytes>(stream).await.unwrap();
                let mut kept = Vec::new();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    kept.extend(respond.send_response(Response::new(()), false));
                }
            });
        }
    });
    let mut upstream = upstream;
    upstream.timeouts.connect = PATIENCE * 2;
    let gateway = Gateway::start(options(upstream)).unwrap();
    let address = gateway.address();
    let mut sender = client(address).await;
    let first = get(&mut sender, address, "/").await;
    let mut other = sender.clone();
    let waiting = tokio::spawn(async move { get(&mut other, address, "/").await.status() });
    eventually("it is on its way", || addresses(&gateway)[0].in_flight == 2);
    drop(first);
    assert_eq!(waiting.await.unwrap(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dial_that_fails_has_failed_for_all_who_waited_for_it() {
    // The system takes its connections, and nobody speaks on them.
    let (_deaf, mut upstream) = place("deaf").await;
    upstream.timeouts.connect = Duration::from_millis(200);
    // The line has time for more than that dial.
    upstream.acquire_timeout = PATIENCE;
    upstream.breaker.failures = 5;
    upstream.breaker.cooldown = PATIENCE;
    let gateway = Gateway::start(options(upstream)).unwrap();
    let address = gateway.address();
    let sender = client(address).await;
    let asked = (0..5).map(|_| {
        let mut sender = sender.clone();
        async move { get(&mut sender, address, "/").await.status() }
    });
    for status in join_all(asked).await {
        assert!([502, 504].contains(&status.as_u16()), "{status}");
    }
    let address = &addresses(&gateway)[0];
    assert_eq!((address.failures, address.ejections), (5, 1));
    let error = address.last_connect_error.as_deref();
    assert!(error.is_some(), "{address:?}");
}
