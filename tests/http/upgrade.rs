//! Other protocols over the same connection.

use plunge::proxy::plain::{Gateway, RouteOptions};
use tokio::runtime::Runtime;

use crate::fixture::{
    Origin, Talk, addresses, eventually, gateway, is_at_rest, options, status, upstream,
};
use crate::h2::echo;

const ASK: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n\r\n";
const AGREED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";

#[test]
fn bytes_go_both_ways_after_the_switch_those_that_came_with_the_heads_first() {
    let origin = Origin::scripted(|talk, _| {
        let head = talk.head().unwrap().to_lowercase();
        assert!(
            head.contains("connection: upgrade\r\n") && head.contains("upgrade: websocket\r\n"),
            "{head}"
        );
        talk.say(format!("{AGREED}first"));
        assert_eq!(talk.bytes(5).unwrap(), b"early");
        for _ in 0..3 {
            let said = talk.bytes(4).unwrap();
            talk.say(said);
        }
        talk.say("bye");
    });
    let gateway = gateway(&origin);
    let mut talk = Talk::to(gateway.address());
    talk.say(format!("{ASK}early"));
    let head = talk.head().unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(
        head.contains("upgrade: websocket\r\n") && head.contains("connection: upgrade\r\n"),
        "{head}"
    );
    assert_eq!(talk.bytes(5).unwrap(), b"first");
    for _ in 0..3 {
        talk.say("ping");
        assert_eq!(talk.bytes(4).unwrap(), b"ping");
    }
    assert_eq!(talk.rest(), "bye");
    drop(talk);
    eventually("the connection is given up", || is_at_rest(&gateway));
    assert_eq!(gateway.stats().switched, 1);
}

#[test]
fn an_upstream_that_does_not_switch_answers_as_ever() {
    let origin = Origin::hello();
    let gateway = gateway(&origin);
    let mut talk = Talk::to(gateway.address());
    for _ in 0..2 {
        talk.say(ASK);
        assert_eq!(status(&talk.head().unwrap()), 200);
        assert_eq!(talk.bytes(5).unwrap(), b"hello");
    }
}

#[test]
fn a_client_that_leaves_ends_the_upstreams_side() {
    let origin = Origin::scripted(|talk, _| {
        talk.head();
        talk.say(AGREED);
        assert_eq!(talk.rest(), "");
    });
    let gateway = gateway(&origin);
    let mut talk = Talk::to(gateway.address());
    talk.say(ASK);
    talk.head();
    drop(talk);
    eventually("the connection is given up", || is_at_rest(&gateway));
}

#[test]
fn a_protocol_that_would_carry_requests_past_the_proxy_is_not_asked_for() {
    let origin = Origin::hello();
    let gateway = gateway(&origin);
    for upgrade in [
        "upgrade: websocket, h2c\r\n",
        "upgrade: H2C,websocket\r\n",
        "upgrade: websocket\r\nupgrade: h2c\r\n",
        "upgrade: h2c\r\nupgrade: websocket\r\n",
        "upgrade: TLS/1.2, HTTP/2.0\r\n",
    ] {
        let mut talk = Talk::to(gateway.address());
        talk.say(format!(
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAAA\r\n{upgrade}\r\n"
        ));
        assert_eq!(status(&talk.head().unwrap()), 200);
        let head = origin.last_head();
        assert!(!head.contains("upgrade"), "{head}");
    }
}

#[test]
fn a_connection_of_another_protocol_is_in_flight_and_its_bytes_are_counted() {
    let origin = Origin::scripted(|talk, _| {
        talk.head();
        talk.say(format!("{AGREED}first"));
        talk.rest();
    });
    let gateway = gateway(&origin);
    let mut talk = Talk::to(gateway.address());
    talk.say(ASK);
    talk.head();
    talk.bytes(5).unwrap();
    let sent = || gateway.stats().upstreams[0].answers.sent_bytes;
    eventually("its bytes are counted", || sent() == 5);
    assert_eq!(addresses(&gateway)[0].in_flight, 1);
    drop(talk);
    eventually("it is given up", || is_at_rest(&gateway));
    assert_eq!(addresses(&gateway)[0].failures, 0);
}

#[test]
fn where_it_cannot_be_passed_on_it_is_sent_to_a_connection_where_it_can() {
    let runtime = Runtime::new().unwrap();
    let (in_h2, _) = runtime.block_on(echo(true));
    let origin = Origin::scripted(|talk, _| {
        talk.head();
        talk.say(AGREED);
        talk.rest();
    });
    let mut options = options(in_h2);
    let mut chat = RouteOptions::new(upstream(&[&origin]));
    chat.prefix = "/chat".into();
    options.routes.push(chat);
    let gateway = Gateway::start(options).unwrap();
    let mut bridged = Talk::to(gateway.address());
    bridged.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(status(&bridged.head().unwrap()), 200);
    bridged.say(ASK);
    let answer = bridged.rest();
    assert_eq!(status(&answer), 421, "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert_eq!(origin.connections(), 0);
    let mut fresh = Talk::to(gateway.address());
    fresh.say(ASK);
    assert_eq!(status(&fresh.head().unwrap()), 101);
}
