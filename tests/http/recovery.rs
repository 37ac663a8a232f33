//! How an address that was left alone comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plunge::proxy::plain::{Gateway, UpstreamOptions};

use crate::fixture::{
    Origin, PATIENCE, Talk, addresses, ask, eventually, get, options, status, upstream,
};

/// An upstream that breaks off until it is well; then it begins a stream that does not end.
fn ailing() -> (Origin, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(false));
    let is_well = well.clone();
    let origin = Origin::scripted(move |talk, _| {
        if talk.head().is_some() && is_well.load(Ordering::SeqCst) {
            talk.say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome");
            talk.rest();
        }
    });
    (origin, well)
}

fn with_breaker(origin: &Origin, cooldown: Duration) -> UpstreamOptions {
    let mut upstream = upstream(&[origin]);
    upstream.breaker.failures = 1;
    upstream.breaker.cooldown = cooldown;
    upstream.breaker.longest_cooldown = cooldown;
    upstream
}

#[test]
fn a_stream_that_begins_well_brings_an_address_back_before_it_ends() {
    let (origin, well) = ailing();
    let cooldown = Duration::from_millis(300);
    let gateway = Gateway::start(options(with_breaker(&origin, cooldown))).unwrap();
    assert_eq!(status(&get(&gateway, "/")), 502);
    well.store(true, Ordering::SeqCst);
    let mut streams = Vec::new();
    let mut ask = || {
        let mut talk = Talk::to(gateway.address());
        talk.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        let status = status(&talk.head().unwrap());
        streams.push(talk);
        status
    };
    eventually("the one that looks is answered", || ask() == 200);
    for _ in 0..3 {
        assert_eq!(ask(), 200, "while the first goes on");
    }
}

#[test]
fn an_address_nobody_asked_since_is_left_alone_for_no_longer_than_its_pause() {
    let (origin, _) = ailing();
    let cooldown = Duration::from_millis(200);
    let gateway = Gateway::start(options(with_breaker(&origin, cooldown))).unwrap();
    assert_eq!(status(&get(&gateway, "/")), 502);
    assert_eq!(addresses(&gateway)[0].ejections, 1);
    eventually("it may be asked again", || {
        addresses(&gateway)[0].ejected_by == 0
    });
}

#[test]
fn a_client_that_leaves_a_stream_says_nothing_against_its_upstream() {
    let (origin, well) = ailing();
    well.store(true, Ordering::SeqCst);
    let gateway = Gateway::start(options(with_breaker(&origin, PATIENCE))).unwrap();
    let mut talk = Talk::to(gateway.address());
    talk.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(talk.until("some").map(|said| status(&said)), Some(200));
    drop(talk);
    eventually("it is counted", || {
        let stats = gateway.stats();
        let upstream = &stats.upstreams[0].answers;
        // What it got is an answer.
        (stats.broken, stats.answers[2]) == (1, 1)
            && (upstream.answers[2], upstream.sent_bytes) == (1, 4)
    });
    assert_eq!(addresses(&gateway)[0].failures, 0);
}

#[test]
fn the_time_in_line_is_not_taken_from_the_upstream() {
    let origin = Origin::scripted(|talk, _| {
        while let Some(head) = talk.head() {
            // As long as half of what it is given.
            std::thread::sleep(Duration::from_millis(300));
            assert!(!head.is_empty());
            talk.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    let mut upstream = upstream(&[&origin]);
    upstream.max_connections = 1;
    upstream.timeouts.request = Duration::from_millis(600);
    let gateway = Gateway::start(options(upstream)).unwrap();
    let mut talks: Vec<Talk> = (0..4).map(|_| Talk::to(gateway.address())).collect();
    for talk in &mut talks {
        talk.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    }
    for talk in &mut talks {
        assert_eq!(status(&talk.head().unwrap()), 200);
    }
    assert_eq!(addresses(&gateway)[0].failures, 0);
}

#[test]
fn who_leaves_the_line_is_not_sent_to_the_upstream() {
    let origin = Origin::scripted(|talk, _| {
        talk.head();
        talk.rest();
    });
    let mut upstream = upstream(&[&origin]);
    upstream.max_connections = 1;
    upstream.acquire_timeout = PATIENCE * 2;
    let gateway = Gateway::start(options(upstream)).unwrap();
    let [first, second] = ["one has it", "one waits"].map(|what| {
        let mut talk = Talk::to(gateway.address());
        talk.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        eventually(what, || {
            let address = &addresses(&gateway)[0];
            address.leased == 1 && (what == "one has it" || address.waiting == 1)
        });
        talk
    });
    drop(second);
    eventually("nobody waits", || addresses(&gateway)[0].waiting == 0);
    drop(first);
    eventually("both are gone", || gateway.stats().clients == 0);
    eventually("both are counted", || gateway.stats().broken == 2);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_head_that_is_refused_has_no_body_where_none_is_asked_for() {
    let origin = Origin::hello();
    let mut options = options(upstream(&[&origin]));
    options.routes[0].prefix = "/api".into();
    let gateway = Gateway::start(options).unwrap();
    let answer = ask(&gateway, "HEAD /nowhere HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(status(&answer), 404);
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}
