//! Requests in line for a connection.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::fixture::{
    Origin, PATIENCE, Talk, addresses, eventually, get, is_at_rest, options, status, upstream,
};
use plunge::proxy::plain::{Gateway, GatewayOptions};

/// Keeps each request, and its connection, for as long as its client is there.
fn holding() -> Origin {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = heads.clone();
    let origin = Origin::scripted(move |talk, _| {
        while let Some(head) = talk.head() {
            kept.lock().unwrap().push(head);
        }
    });
    Origin { heads, ..origin }
}

fn one_connection(origin: &Origin, acquire_timeout: Duration) -> GatewayOptions {
    let mut options = options(upstream(&[origin]));
    let upstream = &mut options.routes[0].upstream;
    upstream.max_connections = 1;
    upstream.acquire_timeout = acquire_timeout;
    options
}

fn ask(gateway: &Gateway, request: &str) -> Talk {
    let mut talk = Talk::to(gateway.address());
    talk.say(request);
    talk
}

#[test]
fn a_request_whose_client_left_the_line_is_not_sent() {
    let origin = holding();
    let gateway = Gateway::start(one_connection(&origin, PATIENCE * 2)).unwrap();
    let first = ask(&gateway, "GET /first HTTP/1.1\r\nhost: a\r\n\r\n");
    eventually("the first has it", || addresses(&gateway)[0].leased == 1);
    for left in [
        "POST /left HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody",
        "POST /left HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n",
        "POST /left HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbo",
    ] {
        let talk = ask(&gateway, left);
        eventually("it waits", || addresses(&gateway)[0].waiting == 1);
        drop(talk);
        eventually("it waits no more", || addresses(&gateway)[0].waiting == 0);
    }
    assert_eq!(addresses(&gateway)[0].leased, 1, "the first has it still");
    drop(first);
    eventually("nothing is held", || {
        is_at_rest(&gateway) && gateway.stats().clients == 0
    });
    let heads = origin.heads.lock().unwrap();
    assert!(
        heads.iter().all(|head| head.contains("/first")),
        "{heads:?}"
    );
}

#[test]
fn who_sends_its_body_while_it_waits_is_served() {
    let origin = Origin::scripted(|talk, number| {
        talk.head();
        match number {
            0 => drop(talk.rest()),
            _ => {
                let body = talk.bytes(4).unwrap();
                talk.say("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n");
                talk.say(body);
            }
        }
    });
    let gateway = Gateway::start(one_connection(&origin, PATIENCE * 2)).unwrap();
    let first = ask(&gateway, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    eventually("the first has it", || addresses(&gateway)[0].leased == 1);
    let mut second = ask(
        &gateway,
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbo",
    );
    eventually("it waits", || addresses(&gateway)[0].waiting == 1);
    second.say("dy");
    drop(first);
    assert_eq!(status(&second.head().unwrap()), 200);
    assert_eq!(second.bytes(4).unwrap(), b"body");
}

#[test]
fn who_waits_for_what_others_hold_waits_no_longer_than_it_may() {
    let origin = holding();
    let mut options = one_connection(&origin, Duration::from_millis(50));
    // Longer than any test waits.
    options.routes[0].upstream.timeouts.connect = PATIENCE * 10;
    let gateway = Gateway::start(options).unwrap();
    let _first = ask(&gateway, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    eventually("the first has it", || addresses(&gateway)[0].leased == 1);
    assert_eq!(status(&get(&gateway, "/")), 503);
    assert_eq!(addresses(&gateway)[0].failures, 0);
}

#[test]
fn a_call_whose_whole_time_is_over_in_line_is_not_sent() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = heads.clone();
    let origin = Origin::scripted(move |talk, _| {
        while let Some(head) = talk.head() {
            kept.lock().unwrap().push(head);
            talk.say("HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n");
        }
    });
    let mut options = one_connection(&origin, PATIENCE * 2);
    options.routes[0].upstream.timeouts.overall = Duration::from_millis(300);
    let gateway = Gateway::start(options).unwrap();
    // It has all the time.
    let mut first = ask(
        &gateway,
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n",
    );
    assert_eq!(status(&first.head().unwrap()), 101);
    assert_eq!(status(&get(&gateway, "/late")), 504);
    assert_eq!(addresses(&gateway)[0].failures, 0);
    drop(first);
    eventually("nothing is held", || is_at_rest(&gateway));
    let heads = heads.lock().unwrap();
    assert!(
        heads.iter().all(|head| !head.contains("/late")),
        "{heads:?}"
    );
}
