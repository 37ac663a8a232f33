//! Answers that hyper reads are held to the same grammar as all others.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::header::HeaderMap;
use plunge::proxy::plain::Gateway;
use tokio::time::timeout;

use crate::fixture::{Origin, PATIENCE, Talk, eventually, is_at_rest, options, upstream};
use crate::h2::{ask, client, place};

/// What is wrong, and what is said.
const SHAPES: &[(&str, &str)] = &[
    (
        "two lengths",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
    ),
    (
        "the same length twice",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
    ),
    (
        "a signed length",
        "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
    ),
    (
        "a length beside chunks",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "another coding",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunks in HTTP/1.0",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a line that ends with LF alone",
        "HTTP/1.1 200 OK\r\nx-a: 1\ncontent-length: 2\r\n\r\nok",
    ),
    (
        "a folded line",
        "HTTP/1.1 200 OK\r\nx-a: 1\r\n 2\r\ncontent-length: 2\r\n\r\nok",
    ),
    (
        "a byte that no value has",
        "HTTP/1.1 200 OK\r\nx-a: \x01\r\ncontent-length: 2\r\n\r\nok",
    ),
    (
        "another protocol",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ),
    ("no head", "hello, this is no answer\r\n\r\n"),
    ("half a head", "HTTP/1.1 200 OK\r\ncontent-le"),
];

async fn get(address: SocketAddr) -> (StatusCode, HeaderMap, Bytes) {
    let answer = ask(&mut client(address).await, address, "GET", "/").await;
    let (head, body) = answer.into_parts();
    let body = timeout(PATIENCE, body.collect()).await.unwrap();
    (head.status, head.headers, body.unwrap().to_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_could_be_read_in_two_ways_is_none_in_h2_either() {
    for (what, said) in SHAPES {
        let origin = Origin::scripted(move |talk, _| {
            talk.head();
            talk.say(said);
        });
        let gateway = Gateway::start(options(upstream(&[&origin]))).unwrap();
        let (status, fields, _) = get(gateway.address()).await;
        assert_eq!(status, StatusCode::BAD_GATEWAY, "{what}");
        assert!(!fields.contains_key("x-a"), "{what}");
        assert_eq!(origin.connections(), 1, "{what}: it is not asked again");
        eventually("nothing is held", || is_at_rest(&gateway));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunk_that_is_none_cuts_the_answer_off_in_h2() {
    let origin = Origin::scripted(|talk, _| {
        talk.head();
        talk.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\n0\r\n\r\n");
        talk.rest();
    });
    let gateway = Gateway::start(options(upstream(&[&origin]))).unwrap();
    let address = gateway.address();
    let answer = ask(&mut client(address).await, address, "GET", "/").await;
    let body = timeout(PATIENCE, answer.into_body().collect()).await;
    assert!(body.unwrap().is_err());
    eventually("it is counted", || gateway.stats().broken == 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_upstream_says_unasked_is_nobodys_answer_in_h2() {
    let origin = Origin::scripted(|talk, number| {
        talk.head();
        match number {
            0 => talk.say(
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nx-stray: 1\r\n",
            ),
            _ => talk.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
        };
        talk.rest();
    });
    let gateway = Gateway::start(options(upstream(&[&origin]))).unwrap();
    for _ in 0..2 {
        let (status, fields, body) = get(gateway.address()).await;
        assert_eq!((status, &*body), (StatusCode::OK, &b"ok"[..]));
        assert!(!fields.contains_key("x-stray"));
    }
    assert_eq!(origin.connections(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_kept_after_chunked_answers_and_after_those_to_head() {
    let origin = Origin::scripted(|talk, _| {
        while let Some(head) = talk.head() {
            match head.starts_with("HEAD") {
                true => talk.say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"),
                false => talk.say(
                    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                ),
            };
        }
    });
    let gateway = Gateway::start(options(upstream(&[&origin]))).unwrap();
    let address = gateway.address();
    let mut sender = client(address).await;
    for method in ["GET", "HEAD", "GET", "HEAD", "GET"] {
        let answer = ask(&mut sender, address, method, "/").await;
        assert_eq!(answer.status(), StatusCode::OK);
        let length = answer.headers().get("content-length").cloned();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        match method {
            "HEAD" => assert_eq!(length.unwrap(), "100"),
            _ => assert_eq!(body, "ok"),
        }
        eventually("its connection is free", || is_at_rest(&gateway));
    }
    assert_eq!(origin.connections(), 1);
    assert_eq!(gateway.stats().broken, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_in_h2_that_names_its_length_twice_gives_no_answer() {
    let (listener, upstream) = place("twice").await;
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let mut answer = hyper::Response::new(());
            for _ in 0..2 {
                answer
                    .headers_mut()
                    .append("content-length", "2".parse().unwrap());
            }
            let mut body = respond.send_response(answer, false).unwrap();
            let _ = body.send_data(Bytes::from("ok"), true);
        }
    });
    let gateway = Gateway::start(options(upstream)).unwrap();
    let mut talk = Talk::to(gateway.address());
    talk.say("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let answer = tokio::task::spawn_blocking(move || talk.rest())
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
}
