//! Requests that change their protocol on the way: h2 in front of HTTP/1.1, and the other way round.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use plunge::proxy::plain::Gateway;
use tokio::time::timeout;

use crate::fixture::{
    Origin, PATIENCE, Talk, addresses, eventually, is_at_rest, options, status, upstream,
};
use crate::h2::{Body, client, echo, request, whole};

/// A body that comes frame by frame.
fn frames(frames: Vec<Frame<Bytes>>) -> Body {
    let frames = frames.into_iter().map(Ok::<_, Infallible>);
    StreamBody::new(futures::stream::iter(frames)).boxed_unsync()
}

fn none() -> Body {
    Empty::new().boxed_unsync()
}

/// Keeps the heads that come, and says hello.
fn hello() -> (Origin, Gateway) {
    let origin = Origin::hello();
    let gateway = Gateway::start(options(upstream(&[&origin]))).unwrap();
    (origin, gateway)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_h2_writes_in_several_fields_is_one_in_http_1() {
    let (origin, gateway) = hello();
    let address = gateway.address();
    let mut sender = client(address).await;
    let mut request = request(address, none());
    let fields = request.headers_mut();
    for cookie in ["a=1", "b=2", "c=3"] {
        fields.append(COOKIE, HeaderValue::from_static(cookie));
    }
    fields.append(CONTENT_LENGTH, HeaderValue::from_static("0"));
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let head = origin.last_head();
    assert!(head.contains("\r\ncookie: a=1; b=2; c=3\r\n"), "{head}");
    assert_eq!(head.matches("cookie:").count(), 1, "{head}");
    assert_eq!(head.matches("content-length:").count(), 1, "{head}");
    assert_eq!(head.matches("\ntraceparent: 00-").count(), 1, "{head}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_readers_could_see_in_two_ways_is_refused_in_h2_as_in_http_1() {
    let (origin, gateway) = hello();
    let address = gateway.address();
    let mut sender = client(address).await;
    let cases: [(&[(&str, &str)], u16); 5] = [
        (&[("content-length", "0"), ("content-length", "0")], 400),
        (&[("host", "other")], 400),
        (&[("host", "a"), ("host", "b")], 400),
        (&[("expect", "something")], 417),
        (&[("expect", "100-Continue")], 200),
    ];
    for (fields, status) in cases {
        let mut request = request(address, none());
        for (name, value) in fields {
            request
                .headers_mut()
                .append(*name, HeaderValue::from_static(value));
        }
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{fields:?}");
    }
    assert_eq!(origin.heads.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_differs_by_an_underscore_stays_behind_in_h2_too() {
    let (origin, gateway) = hello();
    let address = gateway.address();
    let mut sender = client(address).await;
    let mut request = request(address, none());
    for name in [
        "x_forwarded_for",
        "content_length",
        "transfer_encoding",
        "x_mine",
    ] {
        let value = HeaderValue::from_static("1");
        request.headers_mut().append(name, value);
    }
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let head = origin.last_head();
    assert_eq!(head.matches('_').count(), 1, "{head}");
    assert!(head.contains("x_mine: 1\r\n"), "{head}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_in_h2_says_of_itself_stays_behind() {
    let (origin, gateway) = hello();
    let address = gateway.address();
    let mut request = request(address, none());
    for name in ["x-forwarded-for", "x-forwarded-prefix", "x-real-ip"] {
        let value = HeaderValue::from_static("1.2.3.4");
        request.headers_mut().append(name, value);
    }
    let answer = client(address).await.send_request(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(!origin.last_head().contains("1.2.3.4"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_unknown_length_goes_on_whatever_the_method() {
    let (upstream, _) = echo(false).await;
    let gateway = Gateway::start(options(upstream)).unwrap();
    let address = gateway.address();
    let mut sender = client(address).await;
    let body = frames(vec![Frame::data(Bytes::from("some"))]);
    let request = Request::get(format!("http://{address}/"))
        .body(body)
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "some");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_that_would_change_the_reading_stay_behind() {
    let (upstream, _) = echo(true).await;
    let gateway = Gateway::start(options(upstream)).unwrap();
    let address = gateway.address();
    let mut sender = client(address).await;
    let mut trailers = HeaderMap::new();
    for (name, value) in [
        ("x-sum", "5"),
        ("content-length", "7"),
        ("cookie", "a=b"),
        ("host", "b"),
    ] {
        trailers.insert(name, HeaderValue::from_static(value));
    }
    let body = frames(vec![
        Frame::data(Bytes::from("some")),
        Frame::trailers(trailers),
    ]);
    let answer = sender.send_request(request(address, body)).await.unwrap();
    let collected = answer.into_body().collect().await.unwrap();
    let trailers = collected.trailers().unwrap();
    assert_eq!(trailers.len(), 1, "{trailers:?}");
    assert_eq!(trailers["x-sum"], "5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_paths_and_counts_are_held_to_the_same_rules() {
    let origin = Origin::hello();
    let mut limited = options(upstream(&[&origin]));
    limited.limits.max_fields = 20;
    let gateway = Gateway::start(limited).unwrap();
    let address = gateway.address();
    let mut sender = client(address).await;
    let mut many = Request::get(format!("http://{address}/"))
        .body(none())
        .unwrap();
    for at in 0..30 {
        let name = hyper::header::HeaderName::try_from(format!("x-{at}")).unwrap();
        many.headers_mut()
            .insert(name, HeaderValue::from_static("y"));
    }
    let mut user = Request::get("http://user@host/").body(none()).unwrap();
    user.headers_mut()
        .insert(HOST, HeaderValue::from_static("host"));
    let cases = [(many, 431), (user, 400)];
    for (request, expected) in cases {
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), expected);
    }
    assert!(origin.heads.lock().unwrap().is_empty());
}

/// Shapes that hyper alone would have let through, or read in a way of its own.
const SHAPES: &[(&str, &str, u16)] = &[
    ("LF alone", "GET / HTTP/1.1\nhost: a\n\n", 400),
    (
        "a length beside chunks",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunks beside a length",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "another coding",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    (
        "the same length twice",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na",
        400,
    ),
    (
        "two hosts",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        400,
    ),
    ("no host", "GET / HTTP/1.1\r\nx: y\r\n\r\n", 400),
    ("another version", "GET / HTTP/1.2\r\nhost: a\r\n\r\n", 505),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_before_an_upstream_in_h2_is_held_to_the_grammar_not_only_the_first() {
    let (upstream, _) = echo(true).await;
    let gateway = Gateway::start(options(upstream)).unwrap();
    let address = gateway.address();
    tokio::task::spawn_blocking(move || {
        for (what, shape, expected) in SHAPES {
            let mut talk = Talk::to(address);
            let good = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nok";
            let chunked = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1;x=y\r\no\r\n1\r\nk\r\n0\r\nx: y\r\n\r\n";
            // All at once: those before it are answered, the one after it is not.
            talk.say(format!("{good}{chunked}{good}{shape}{good}"));
            let all = talk.rest();
            assert_eq!(all.matches("HTTP/1.1 200 ").count(), 3, "{what}: {all}");
            assert_eq!(all.matches("HTTP/1.1 ").count(), 4, "{what}: {all}");
            let last = all.rfind("HTTP/1.1 ").unwrap();
            assert_eq!(status(&all[last..]), *expected, "{what}: {all}");
            assert!(all[last..].contains("connection: close\r\n"), "{what}: {all}");
        }
    })
    .await
    .unwrap();
    eventually("nothing is held", || is_at_rest(&gateway));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_chunks_before_an_upstream_in_h2_are_refused() {
    let (upstream, _) = echo(true).await;
    let gateway = Gateway::start(options(upstream)).unwrap();
    let address = gateway.address();
    tokio::task::spawn_blocking(move || {
        let mut talk = Talk::to(address);
        talk.say("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n");
        let all = talk.rest();
        assert!(all.matches("HTTP/1.1 ").count() <= 1, "{all}");
        assert!(!all.contains("0\r\n\r\n"), "it is not passed on as whole: {all}");
    })
    .await
    .unwrap();
    eventually("nothing is held", || is_at_rest(&gateway));
    assert_eq!(addresses(&gateway)[0].failures, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_of_h2_that_may_come_twice_goes_over_a_fresh_connection_if_the_old_one_ends() {
    let origin = Origin::scripted(|talk, number| {
        talk.head();
        talk.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        while talk.head().is_some() {
            if number == 0 {
                return;
            }
            talk.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    let gateway = Gateway::start(options(upstream(&[&origin]))).unwrap();
    let address = gateway.address();
    let mut sender = client(address).await;
    for _ in 0..3 {
        let request = Request::get(format!("http://{address}/"))
            .body(none())
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.into_body().collect().await.unwrap();
    }
    assert_eq!(origin.connections(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_or_broken_upload_in_h2_is_no_failure_of_the_upstream() {
    let origin = Origin::scripted(|talk, _| {
        while let Some(head) = talk.head() {
            match head.starts_with("POST") {
                true => drop(talk.rest()),
                false => drop(talk.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")),
            }
        }
    });
    let mut limited = options(upstream(&[&origin]));
    limited.routes[0].upstream.breaker.failures = 1;
    limited.routes[0].upstream.timeouts.request = Duration::from_millis(200);
    let gateway = Gateway::start(limited).unwrap();
    let address = gateway.address();
    let mut sender = client(address).await;
    let stalled = || {
        let first = futures::stream::iter([Ok(Frame::data(Bytes::from("a")))]);
        let stream = futures::StreamExt::chain(first, futures::stream::pending());
        StreamBody::new(stream).boxed_unsync() as Body
    };
    let slow = sender
        .send_request(request(address, stalled()))
        .await
        .unwrap();
    assert_eq!(slow.status(), StatusCode::REQUEST_TIMEOUT);
    {
        // Its client leaves while it is under way.
        let mut other = client(address).await;
        let sending = other.send_request(request(address, stalled()));
        let _ = timeout(Duration::from_millis(50), sending).await;
    }
    eventually("nothing is held", || is_at_rest(&gateway));
    assert_eq!(addresses(&gateway)[0].failures, 0);
    let next = Request::get(format!("http://{address}/"))
        .body(whole(""))
        .unwrap();
    let answer = timeout(PATIENCE, sender.send_request(next)).await.unwrap();
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
}

#[test]
fn a_slow_head_before_an_upstream_in_h2_has_the_time_of_a_head_and_is_told() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (upstream, _) = runtime.block_on(echo(true));
    let mut options = options(upstream);
    // Idle for a short time at most, but a head that was begun has its own.
    options.client_head = Duration::from_millis(600);
    options.client_idle = Duration::from_millis(100);
    let gateway = Gateway::start(options).unwrap();
    let mut talk = Talk::to(gateway.address());
    talk.say("GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HT");
    assert_eq!(status(&talk.head().unwrap()), 200);
    assert_eq!(status(&talk.rest()), 408);
    eventually("it is gone", || gateway.stats().clients == 0);
}

#[test]
fn a_request_whose_head_was_begun_before_a_shutdown_is_served_before_an_upstream_in_h2() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (upstream, _) = runtime.block_on(echo(true));
    let gateway = Gateway::start(options(upstream)).unwrap();
    let (mut talk, mut idle) = (Talk::to(gateway.address()), Talk::to(gateway.address()));
    for talk in [&mut talk, &mut idle] {
        talk.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(status(&talk.head().unwrap()), 200);
    }
    talk.say("GET / HTTP/1.1\r\nho");
    let view = gateway.view();
    let ending = runtime.spawn(gateway.shutdown(PATIENCE));
    // An idle one goes first: by then this one would be gone, too, if it was taken for idle.
    assert_eq!(idle.rest(), "");
    eventually("one is left", || view.stats().clients == 1);
    talk.say("st: a\r\n\r\n");
    assert_eq!(status(&talk.rest()), 200);
    assert_eq!(runtime.block_on(ending).unwrap().cut, 0);
}
