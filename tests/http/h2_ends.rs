//! How connections of clients in h2 end: idle, silent, stuck, and at a shutdown.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use plunge::proxy::plain::Gateway;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fixture::{Origin, PATIENCE, Talk, eventually, is_at_rest, options, upstream};
use crate::h2::{Body, client, request, whole};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_for_nothing_is_let_go() {
    let origin = Origin::hello();
    let mut options = options(upstream(&[&origin]));
    options.client_idle = Duration::from_millis(300);
    let gateway = Gateway::start(options).unwrap();
    let address = gateway.address();
    let mut sender = client(address).await;
    let answer = sender
        .send_request(request(address, whole("")))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    drop(answer);
    eventually("it is gone", || gateway.stats().clients == 0);
    eventually("the client knows", || sender.is_closed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_says_more_than_it_has_to_is_let_go() {
    let origin = Origin::hello();
    let mut options = options(upstream(&[&origin]));
    options.client_idle = Duration::from_millis(100);
    let gateway = Gateway::start(options).unwrap();
    let mut talk = Talk::to(gateway.address());
    talk.say("PRI * HTTP/2.0\r\n");
    eventually("it is taken", || gateway.stats().accepted == 1);
    eventually("it is gone", || gateway.stats().clients == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_take_its_answer_does_not_hold_the_upstream_for_ever() {
    let origin = Origin::scripted(|talk, _| {
        talk.head();
        talk.say("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        while talk.say([b'a'; 65536]) {}
    });
    let mut options = options(upstream(&[&origin]));
    options.routes[0].upstream.timeouts.idle = Duration::from_millis(100);
    let gateway = Gateway::start(options).unwrap();
    let address = gateway.address();
    let mut sender = client(address).await;
    let answer = sender
        .send_request(request(address, whole("")))
        .await
        .unwrap();
    eventually("nothing is held", || is_at_rest(&gateway));
    drop(answer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_on_their_way_at_a_shutdown_are_served() {
    let origin = Origin::hello();
    let gateway = Gateway::start(options(upstream(&[&origin]))).unwrap();
    let address = gateway.address();
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = http2::handshake::<_, _, Body>(TokioExecutor::new(), io)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let asking = |sender: &mut http2::SendRequest<Body>| {
        sender.send_request(
            Request::get(format!("http://{address}/"))
                .body(whole(""))
                .unwrap(),
        )
    };
    assert_eq!(asking(&mut sender).await.unwrap().status(), StatusCode::OK);
    let ending = tokio::spawn(gateway.shutdown(Duration::from_secs(20)));
    let mut served = 0;
    // What was begun before the last word of the server came is answered; then it is told that no more are.
    while let Ok(answer) = timeout(PATIENCE, asking(&mut sender)).await.unwrap() {
        let body: Bytes = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "hello");
        served += 1;
        assert!(served < 1_000_000);
    }
    assert!(
        timeout(PATIENCE, connection)
            .await
            .unwrap()
            .unwrap()
            .is_ok()
    );
    assert_eq!(ending.await.unwrap().cut, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_taken_back_at_once_cost_nothing_but_their_connection() {
    let origin = Origin::scripted(|talk, _| {
        while talk.head().is_some_and(|head| head.starts_with("GET /ok")) {
            talk.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
        talk.rest();
    });
    let mut options = options(upstream(&[&origin]));
    options.routes[0].upstream.breaker.failures = 1;
    let gateway = Gateway::start(options).unwrap();
    let address = gateway.address();
    for _ in 0..3 {
        let mut sender = client(address).await;
        for _ in 0..500 {
            if sender.ready().await.is_err() {
                break;
            }
            let asking = sender.send_request(request(address, whole("x")));
            // Given up before it can be answered.
            let _ = timeout(Duration::ZERO, asking).await;
        }
    }
    eventually("nothing is held", || {
        is_at_rest(&gateway) && gateway.stats().clients == 0
    });
    let mut sender = client(address).await;
    let next = Request::get(format!("http://{address}/ok"))
        .body(whole(""))
        .unwrap();
    let answer = timeout(PATIENCE, sender.send_request(next)).await.unwrap();
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_first_words_come_byte_by_byte_is_understood() {
    const FIRST: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let origin = Origin::hello();
    let gateway = Gateway::start(options(upstream(&[&origin]))).unwrap();
    let mut talk = Talk::to(gateway.address());
    for byte in FIRST {
        talk.say([*byte]);
    }
    let frame = talk.bytes(9).unwrap();
    assert_eq!(frame[3], 4, "the server says what it allows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_back_whatever_it_asks_for_is_let_go() {
    const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let origin = Origin::scripted(|talk, _| drop(talk.rest()));
    let mut options = options(upstream(&[&origin]));
    options.routes[0].upstream.breaker.failures = u32::MAX;
    let gateway = Gateway::start(options).unwrap();
    let mut talk = Talk::to(gateway.address());
    talk.say(GREETING);
    eventually("it is let in", || gateway.stats().clients == 1);
    for number in 0..20_000_u32 {
        let stream = (2 * number + 1).to_be_bytes();
        // A whole request: `GET http://a/`.
        let head = [&[0, 0, 6, 1, 5][..], &stream, b"\x82\x86\x84\x41\x01a"].concat();
        let back = [&[0, 0, 4, 3, 0][..], &stream, &[0, 0, 0, 8]].concat();
        talk.say(head);
        eventually("it is taken, or its client let go", || {
            let stats = gateway.stats();
            stats.requests > number.into() || stats.clients == 0
        });
        if gateway.stats().clients == 0 {
            break;
        }
        talk.say(back);
    }
    assert_eq!(gateway.stats().clients, 0);
    eventually("nothing is held", || is_at_rest(&gateway));
}
