//! Answers to clients in h2 that come to a halt, and who is to blame for it.

use std::convert::Infallible;
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::StatusCode;
use hyper::body::Frame;
use plunge::proxy::plain::Gateway;
use tokio::time::timeout;

use crate::fixture::{
    Origin, PATIENCE, Talk, addresses, eventually, is_at_rest, options, upstream,
};
use crate::h2::{ask, client, echo, request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_hangs_after_its_head_is_to_blame_whichever_limit_ends_it() {
    let origin = Origin::scripted(|talk, _| {
        talk.head();
        talk.say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n");
        talk.rest();
    });
    let short = Duration::from_millis(200);
    let idle =
        |upstream: &mut plunge::proxy::plain::UpstreamOptions| upstream.timeouts.idle = short;
    let overall =
        |upstream: &mut plunge::proxy::plain::UpstreamOptions| upstream.timeouts.overall = short;
    let limits: [&dyn Fn(&mut _); 2] = [&idle, &overall];
    for limit in limits {
        let mut upstream = upstream(&[&origin]);
        limit(&mut upstream);
        let gateway = Gateway::start(options(upstream)).unwrap();
        let address = gateway.address();
        let answer = ask(&mut client(address).await, address, "GET", "/").await;
        assert_eq!(answer.status(), StatusCode::OK);
        let body = timeout(PATIENCE, answer.into_body().collect()).await;
        assert!(body.unwrap().is_err());
        eventually("nothing is held", || is_at_rest(&gateway));
        assert_eq!(addresses(&gateway)[0].failures, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_waits_for_the_rest_of_its_request_is_no_failure_of_the_upstream() {
    for h2 in [false, true] {
        let (mut upstream, _) = echo(h2).await;
        upstream.timeouts.idle = Duration::from_millis(200);
        let gateway = Gateway::start(options(upstream)).unwrap();
        let address = gateway.address();
        let first = futures::stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from("a")))]);
        let stream = futures::StreamExt::chain(first, futures::stream::pending());
        let body = StreamBody::new(stream).boxed_unsync();
        let mut sender = client(address).await;
        let asking = sender.send_request(request(address, body));
        let answer = timeout(PATIENCE, asking).await.unwrap().unwrap();
        let body = timeout(PATIENCE, answer.into_body().collect()).await;
        assert!(body.unwrap().is_err(), "it ends, in h2: {h2}");
        eventually("nothing is held", || is_at_rest(&gateway));
        assert_eq!(addresses(&gateway)[0].failures, 0, "in h2: {h2}");
    }
}

/// What a client in h2 says first that takes nothing of an answer, and a whole request for `http://a/`.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0";
const GET: &[u8] = b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01a";
/// Room for 1,000 bytes.
const ROOM: &[u8] = b"\0\0\x04\x08\0\0\0\0\x01\0\0\x03\xe8";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;

/// The next frame of the first stream: its kind, whether it is the last, and what is in it.
fn frame(talk: &mut Talk) -> (u8, bool, Vec<u8>) {
    loop {
        let head = talk.bytes(9).unwrap();
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        let payload = talk.bytes(length).unwrap();
        if head[8] == 1 {
            return (head[3], head[4] & 1 == 1, payload);
        }
    }
}

#[test]
fn the_last_of_an_answer_that_is_there_is_passed_on_after_its_time() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::scripted(move |talk, _| {
        talk.head();
        talk.say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfirst");
        let _ = wait.lock().unwrap().recv();
        talk.say("last");
        talk.rest();
    });
    let mut upstream = upstream(&[&origin]);
    let overall = Duration::from_millis(500);
    upstream.timeouts.overall = overall;
    let gateway = Gateway::start(options(upstream)).unwrap();
    let mut talk = Talk::to(gateway.address());
    let begun = Instant::now();
    talk.say([GREETING, GET].concat());
    assert_eq!(frame(&mut talk).0, HEADERS);
    go.send(()).unwrap();
    // The client makes room for it only then.
    eventually("its time is over", || begun.elapsed() > overall * 2);
    talk.say(ROOM);
    let mut body = Vec::new();
    loop {
        let (kind, is_last, payload) = frame(&mut talk);
        assert_ne!(kind, RESET, "after {body:?}");
        if kind == DATA {
            body.extend(payload);
        }
        if is_last {
            break;
        }
    }
    assert_eq!(body, b"firstlast");
    assert_eq!(addresses(&gateway)[0].failures, 0);
}
