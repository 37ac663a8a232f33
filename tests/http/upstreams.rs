//! Upstreams that close, fail, are slow or gone.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::fixture::{
    Origin, PATIENCE, Talk, addresses, ask, eventually, gateway, get, is_at_rest, options, status,
    upstream,
};
use plunge::proxy::plain::{Gateway, UpstreamOptions};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Answers once on the first connection and closes it over the next request, unread; later ones serve on.
fn closes_once() -> Origin {
    Origin::scripted(|talk, number| {
        talk.head();
        talk.say(OK);
        while talk.head().is_some() {
            if number == 0 {
                return;
            }
            talk.say(OK);
        }
    })
}

#[test]
fn a_request_that_may_come_twice_goes_over_a_fresh_connection_if_the_old_one_ends() {
    let origin = closes_once();
    let gateway = gateway(&origin);
    let mut talk = Talk::to(gateway.address());
    for _ in 0..3 {
        talk.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(status(&talk.head().unwrap()), 200);
        talk.bytes(2);
    }
    assert_eq!(origin.connections(), 2);
}

#[test]
fn a_request_that_may_not_come_twice_is_never_sent_twice() {
    let origin = closes_once();
    let gateway = gateway(&origin);
    assert_eq!(status(&get(&gateway, "/")), 200);
    let post = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(status(&ask(&gateway, post)), 502);
    assert_eq!(origin.connections(), 1);
    assert_eq!(status(&ask(&gateway, post)), 200);
}

#[test]
fn a_request_is_retried_once_only() {
    let origin = Origin::scripted(|talk, number| {
        talk.head();
        if number == 0 {
            talk.say(OK);
            talk.head();
        }
    });
    let gateway = gateway(&origin);
    assert_eq!(status(&get(&gateway, "/")), 200);
    assert_eq!(status(&get(&gateway, "/")), 502);
    assert_eq!(origin.connections(), 2);
    eventually("nothing is held", || is_at_rest(&gateway));
}

#[test]
fn a_connection_that_ended_while_idle_carries_no_request() {
    let origin = Origin::scripted(|talk, _| {
        talk.head();
        talk.say(OK);
    });
    let gateway = gateway(&origin);
    let post = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    for turn in 1..=20 {
        assert_eq!(status(&ask(&gateway, post)), 200);
        assert_eq!(origin.connections.load(Ordering::SeqCst), turn);
        std::thread::sleep(Duration::from_millis(5)); // not for the test: it would pass by luck without
    }
}

/// One that is left alone for longer than a test lasts.
fn for_good(mut upstream: UpstreamOptions) -> UpstreamOptions {
    upstream.breaker.cooldown = PATIENCE * 10;
    upstream
}

#[test]
fn an_upstream_that_nobody_listens_at_is_502_and_another_address_serves() {
    let gone = {
        let origin = Origin::hello();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Origin {
            address: listener.local_addr().unwrap(),
            ..origin
        }
    };
    let alone = gateway(&gone);
    let answer = get(&alone, "/");
    assert_eq!(status(&answer), 502, "{answer}");
    assert!(
        addresses(&alone)[0]
            .last_connect_error
            .as_ref()
            .unwrap()
            .contains("refused")
    );

    let there = Origin::hello();
    let both = Gateway::start(options(for_good(upstream(&[&gone, &there])))).unwrap();
    for _ in 0..40 {
        assert_eq!(status(&get(&both, "/")), 200);
    }
    let addresses = addresses(&both);
    assert_eq!((addresses[0].ejected_by, addresses[1].ejected_by), (1, 0));
    assert_eq!(addresses[0].failures, 1, "left alone at once");
}

#[test]
fn an_address_that_says_it_cannot_serve_is_left_alone_where_there_is_another() {
    let sick = Origin::answering("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
    let well = Origin::hello();
    let gateway = Gateway::start(options(for_good(upstream(&[&sick, &well])))).unwrap();
    let statuses: Vec<u16> = (0..60).map(|_| status(&get(&gateway, "/"))).collect();
    assert!(
        statuses.iter().filter(|status| **status == 503).count() <= 12,
        "{statuses:?}"
    );
    assert!(
        statuses[40..].iter().all(|status| *status == 200),
        "{statuses:?}"
    );
    assert_eq!(addresses(&gateway)[0].ejected_by, 1);
}

#[test]
fn what_is_in_flight_decides_which_address_is_next() {
    let slow = Origin::scripted(|talk, _| {
        talk.head();
        talk.rest();
    });
    let quick = Origin::hello();
    let gateway = Gateway::start(options(upstream(&[&slow, &quick]))).unwrap();
    let mut stuck = Vec::new();
    while addresses(&gateway)[0].in_flight == 0 {
        let mut talk = Talk::to(gateway.address());
        talk.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        stuck.push(talk);
        eventually("the request is under way", || {
            let addresses = addresses(&gateway);
            addresses.iter().map(|one| one.requests).sum::<u64>() as usize == stuck.len()
        });
    }
    for _ in 0..20 {
        assert_eq!(status(&get(&gateway, "/")), 200);
    }
    assert_eq!(slow.connections(), 1);
}

#[test]
fn an_upstream_that_is_silent_is_504_and_its_connection_is_not_used_again() {
    let origin = Origin::scripted(|talk, number| {
        talk.head();
        if number == 0 {
            talk.rest();
        }
        talk.say(OK);
    });
    let mut options = options(upstream(&[&origin]));
    options.routes[0].upstream.timeouts.request = Duration::from_millis(100);
    let gateway = Gateway::start(options).unwrap();
    assert_eq!(status(&get(&gateway, "/")), 504);
    assert_eq!(status(&get(&gateway, "/")), 200);
    assert_eq!(origin.connections(), 2);
}

#[test]
fn every_connection_in_use_is_503() {
    let origin = Origin::scripted(|talk, _| {
        talk.head();
        talk.rest();
    });
    let mut options = options(upstream(&[&origin]));
    let upstream = &mut options.routes[0].upstream;
    upstream.max_connections = 1;
    upstream.acquire_timeout = Duration::from_millis(50);
    upstream.timeouts.connect = Duration::from_millis(50);
    let gateway = Gateway::start(options).unwrap();
    let mut talk = Talk::to(gateway.address());
    talk.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    eventually("the request is under way", || {
        addresses(&gateway)[0].leased == 1
    });
    let answer = get(&gateway, "/");
    assert_eq!(status(&answer), 503);
    assert!(answer.contains("retry-after: "), "{answer}");
}

/// Answers what is asked with a body, and everything else with more than fits on the way.
fn generous() -> Origin {
    Origin::scripted(|talk, _| {
        while let Some(head) = talk.head() {
            match head.starts_with("GET /large") {
                false => drop(talk.say(OK)),
                true => {
                    talk.say("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
                    while talk.say([b'a'; 65536]) {}
                }
            }
        }
    })
}

#[test]
fn a_client_that_is_slow_is_no_failure_of_the_upstream() {
    let origin = generous();
    let mut options = options(upstream(&[&origin]));
    options.routes[0].upstream.breaker.failures = 1;
    options.routes[0].upstream.timeouts.request = Duration::from_millis(100);
    options.routes[0].upstream.timeouts.idle = Duration::from_millis(100);
    let gateway = Gateway::start(options).unwrap();
    let mut sends = Talk::to(gateway.address());
    sends.say("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\na");
    let (head, _) = (sends.head().unwrap(), sends.rest());
    assert!([200, 408].contains(&status(&head)), "{head}");
    let mut reads = Talk::to(gateway.address());
    reads.say("GET /large HTTP/1.1\r\nhost: a\r\n\r\n");
    reads.head().unwrap();
    eventually("the one that does not read is cut off", || {
        gateway.stats().clients == 0
    });
    assert_eq!(addresses(&gateway)[0].failures, 0);
    assert_eq!(status(&get(&gateway, "/")), 200);
}

#[test]
fn a_client_that_is_slow_with_its_body_is_told_so_and_costs_the_upstream_nothing() {
    let origin = Origin::scripted(|talk, number| {
        let head = talk.head().unwrap_or_default();
        match head.starts_with("POST") {
            true => drop(talk.rest()),
            false => drop(talk.say(OK)),
        }
        assert!(number < 20);
    });
    let mut options = options(upstream(&[&origin]));
    options.routes[0].upstream.breaker.failures = 1;
    options.routes[0].upstream.timeouts.request = Duration::from_millis(100);
    let gateway = Gateway::start(options).unwrap();
    let slow = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\na";
    assert_eq!(status(&ask(&gateway, slow)), 408);
    assert_eq!(status(&get(&gateway, "/")), 200);
}

#[test]
fn an_upstream_that_never_says_to_go_on_is_to_blame_itself() {
    let origin = Origin::scripted(|talk, _| {
        talk.head();
        talk.rest();
    });
    let mut options = options(upstream(&[&origin]));
    options.routes[0].upstream.timeouts.request = Duration::from_millis(100);
    let gateway = Gateway::start(options).unwrap();
    let answer = ask(
        &gateway,
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n",
    );
    assert_eq!(status(&answer), 504);
    assert_eq!(addresses(&gateway)[0].failures, 1);
}
