//! Upstreams in h2 that die, or say that they did not look at a request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::{Request, Response, StatusCode};
use plunge::proxy::plain::{Gateway, UpstreamOptions};
use plunge::transport::http::HttpTarget;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::fixture::{
    Origin, PATIENCE, Talk, addresses, eventually, is_at_rest, options, upstream,
};
use crate::h2::{self, client};

const PREFACE: usize = 24;
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const SETTINGS_SEEN: &[u8] = &[0, 0, 0, 4, 1, 0, 0, 0, 0];
/// No stream was looked at.
const GO_AWAY: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const HEADERS: u8 = 1;
/// `:status: 200`, and nothing more, on the first stream.
const OK: &[u8] = &[0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88];

/// Reads up to the head of a request in h2.
fn head(talk: &mut Talk) -> Option<()> {
    talk.bytes(PREFACE)?;
    talk.say(SETTINGS);
    talk.say(SETTINGS_SEEN);
    loop {
        let frame = talk.bytes(9)?;
        let length = usize::from(frame[1]) << 8 | usize::from(frame[2]);
        talk.bytes(length)?;
        if frame[3] == HEADERS {
            return Some(());
        }
    }
}

/// The first connection says this, those after it answer.
fn origin(first: &'static [u8]) -> Origin {
    Origin::scripted(move |talk, number| {
        if head(talk).is_none() {
            return;
        }
        talk.say(if number == 0 { first } else { OK });
        while talk.bytes(1).is_some() {}
    })
}

fn in_h2(origin: &Origin) -> UpstreamOptions {
    let mut upstream = upstream(&[origin]);
    upstream.h2 = true;
    upstream
}

async fn ask(address: SocketAddr, method: &str) -> StatusCode {
    let mut sender = client(address).await;
    h2::ask(&mut sender, address, method, "/").await.status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_in_h2_that_gives_no_sign_of_life_is_given_up() {
    // It reads, and says nothing more: the system below it is all that lives.
    let origin = origin(&[]);
    let mut upstream = in_h2(&origin);
    // Long before the time for an answer is over.
    upstream.timeouts.idle = Duration::from_millis(200);
    upstream.timeouts.request = PATIENCE * 10;
    let gateway = Gateway::start(options(upstream)).unwrap();
    assert_eq!(ask(gateway.address(), "GET").await, StatusCode::OK);
    assert_eq!(origin.connections(), 2, "the next one serves");
    eventually("nothing is held", || is_at_rest(&gateway));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_a_goaway_leaves_out_goes_over_the_next_connection() {
    for method in ["GET", "POST"] {
        let origin = origin(GO_AWAY);
        let gateway = Gateway::start(options(in_h2(&origin))).unwrap();
        assert_eq!(ask(gateway.address(), method).await, StatusCode::OK);
        assert_eq!(origin.connections(), 2);
    }
}

/// An upstream that refuses the first request it gets, and gives back the body of the second, of which it tells.
async fn refusing(told: oneshot::Sender<()>) -> (UpstreamOptions, Arc<AtomicUsize>) {
    let (listener, upstream) = h2::place("refusing").await;
    let (seen, mut told) = (Arc::new(AtomicUsize::new(0)), Some(told));
    let count = seen.clone();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = ::h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            if count.fetch_add(1, Ordering::SeqCst) == 0 {
                respond.send_reset(::h2::Reason::REFUSED_STREAM);
                continue;
            }
            if let Some(told) = told.take() {
                told.send(()).unwrap();
            }
            tokio::spawn(async move {
                let mut body = request.into_body();
                let mut back = respond.send_response(Response::new(()), false).unwrap();
                while let Some(Ok(piece)) = body.data().await {
                    back.send_data(piece, false).unwrap();
                }
                back.send_data(Bytes::new(), true).unwrap();
            });
        }
    });
    (upstream, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_refused_goes_again_with_its_body_if_nothing_of_that_was_read() {
    let (told, second) = oneshot::channel();
    let (upstream, seen) = refusing(told).await;
    let gateway = Gateway::start(options(upstream)).unwrap();
    let address = gateway.address();
    let mut sender = client(address).await;
    let body = stream::once(async move {
        second.await.unwrap();
        Ok(Frame::data(Bytes::from("hello")))
    });
    let body = StreamBody::new(body).boxed_unsync();
    let request = Request::post(format!("http://{address}/")).body(body);
    let asking = sender.send_request(request.unwrap());
    let answer = timeout(PATIENCE, asking).await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let body = timeout(PATIENCE, answer.into_body().collect()).await;
    assert_eq!(body.unwrap().unwrap().to_bytes(), "hello");
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_in_h2_that_takes_too_long_in_all_is_cut_off() {
    let origin = Origin::scripted(|talk, _| {
        talk.head();
        talk.say("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        // Never silent, never done.
        while talk.say("x") {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let mut upstream = upstream(&[&origin]);
    upstream.timeouts.overall = Duration::from_millis(300);
    let gateway = Gateway::start(options(upstream)).unwrap();
    let address = gateway.address();
    let answer = h2::ask(&mut client(address).await, address, "GET", "/").await;
    let body = timeout(PATIENCE, answer.into_body().collect()).await;
    assert!(body.unwrap().is_err());
    eventually("nothing is held", || is_at_rest(&gateway));
    assert_eq!(addresses(&gateway)[0].failures, 0, "it spoke all the time");
}

/// Answers each request over a connection of its own.
async fn serve_once(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let _ = stream.read(&mut [0; 4096]).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let _ = stream.write_all(answer).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_h2_hears_of_what_failed_and_not_of_what_is_left_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let targets = [&listener, &gone].map(|one| {
        let address = one.local_addr().unwrap();
        HttpTarget::parse(&format!("http://{address}")).unwrap()
    });
    drop(gone);
    let upstream = UpstreamOptions::new("both", targets.to_vec());
    let gateway = Gateway::start(options(upstream)).unwrap();
    let serving = tokio::spawn(serve_once(listener));
    while addresses(&gateway)[1].ejections == 0 {
        assert_eq!(ask(gateway.address(), "GET").await, StatusCode::OK);
    }
    serving.abort();
    assert!(serving.await.is_err());
    assert_eq!(ask(gateway.address(), "GET").await, StatusCode::BAD_GATEWAY);
}

/// An upstream that refuses every request; how many it was asked.
async fn unwilling() -> (UpstreamOptions, Arc<AtomicUsize>) {
    let (listener, upstream) = h2::place("unwilling").await;
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let count = count.clone();
            tokio::spawn(async move {
                let mut connection = ::h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    count.fetch_add(1, Ordering::SeqCst);
                    respond.send_reset(::h2::Reason::REFUSED_STREAM);
                }
            });
        }
    });
    (upstream, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_refuses_every_request_is_left_alone() {
    let (mut upstream, seen) = unwilling().await;
    upstream.breaker.failures = 3;
    upstream.breaker.cooldown = PATIENCE;
    let gateway = Gateway::start(options(upstream)).unwrap();
    for _ in 0..3 {
        assert_eq!(ask(gateway.address(), "GET").await, StatusCode::BAD_GATEWAY);
    }
    assert_eq!(seen.load(Ordering::SeqCst), 9, "thrice each");
    let left = ask(gateway.address(), "GET").await;
    assert_eq!(left, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(addresses(&gateway)[0].failures, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_address_refuses_another_serves_and_the_first_is_left_alone() {
    let (refusing, seen) = unwilling().await;
    let (mut upstream, _) = h2::echo(true).await;
    upstream.targets.insert(0, refusing.targets[0].clone());
    upstream.breaker.failures = 3;
    upstream.breaker.cooldown = PATIENCE;
    let gateway = Gateway::start(options(upstream)).unwrap();
    let mut sender = client(gateway.address()).await;
    for _ in 0..20 {
        let answer = h2::ask(&mut sender, gateway.address(), "GET", "/").await;
        assert_eq!(answer.status(), StatusCode::OK);
    }
    assert_eq!(seen.load(Ordering::SeqCst), 3);
    assert_eq!(addresses(&gateway)[0].ejections, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_goes_away_from_everybody_is_not_asked_for_ever() {
    let origin = Origin::scripted(|talk, _| {
        if head(talk).is_some() {
            talk.say(GO_AWAY);
            while talk.bytes(1).is_some() {}
        }
    });
    let gateway = Gateway::start(options(in_h2(&origin))).unwrap();
    let address = gateway.address();
    let sender = client(address).await;
    let asked = (0..4).map(|_| {
        let mut sender = sender.clone();
        async move { h2::ask(&mut sender, address, "GET", "/").await.status() }
    });
    for status in join_all(asked).await {
        assert_eq!(status, StatusCode::BAD_GATEWAY);
    }
    // Three tries each, at the most.
    assert!(origin.connections() <= 12, "{}", origin.connections());
    eventually("nothing is held", || is_at_rest(&gateway));
}
