//! Whoever leaves, and whenever: nothing is lost.

use std::time::Duration;

use crate::fixture::{
    Origin, Talk, addresses, eventually, gateway, get, is_at_rest, options, status, upstream,
};
use plunge::proxy::plain::Gateway;

#[test]
fn clients_that_leave_in_the_middle_cost_one_connection_each_and_no_capacity() {
    let origin = Origin::scripted(|talk, _| {
        while let Some(head) = talk.head() {
            match head.starts_with("GET /ok") {
                true => drop(talk.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")),
                false => {
                    talk.say("HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n");
                    while talk.say([b'a'; 65536]) {}
                }
            }
        }
    });
    let mut options = options(upstream(&[&origin]));
    options.routes[0].upstream.max_connections = 4;
    let gateway = Gateway::start(options).unwrap();
    for turn in 0..40 {
        let mut talk = Talk::to(gateway.address());
        match turn % 3 {
            0 => talk.say("GET /large HTTP/1.1\r\nhost: a\r\n\r\n"),
            1 => talk.say("POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nabc"),
            _ => talk.say("GET /half"),
        };
        if turn % 3 == 0 {
            talk.head();
        }
        drop(talk);
    }
    eventually("nothing is held", || {
        is_at_rest(&gateway) && gateway.stats().clients == 0
    });
    assert_eq!(status(&get(&gateway, "/ok")), 200);
}

#[test]
fn upstreams_that_leave_in_the_middle_cost_no_capacity() {
    let origin = Origin::scripted(|talk, number| {
        let _ = talk.head();
        let said = [
            "",
            "HTTP/1.1",
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\n\r\nabc",
        ];
        talk.say(said[number % said.len()]);
    });
    let mut options = options(upstream(&[&origin]));
    options.routes[0].upstream.max_connections = 2;
    options.routes[0].upstream.breaker.failures = u32::MAX;
    options.routes[0].upstream.breaker.least_calls = u32::MAX;
    let gateway = Gateway::start(options).unwrap();
    for _ in 0..40 {
        get(&gateway, "/");
    }
    eventually("nothing is held", || is_at_rest(&gateway));
    assert_eq!(addresses(&gateway)[0].open, 0);
}

#[test]
fn a_client_that_is_slow_with_its_head_is_told_so() {
    let origin = Origin::hello();
    let mut options = options(upstream(&[&origin]));
    options.client_head = Duration::from_millis(50);
    options.client_idle = Duration::from_millis(50);
    let gateway = Gateway::start(options).unwrap();
    let mut talk = Talk::to(gateway.address());
    talk.say("GET / HT");
    assert_eq!(status(&talk.rest()), 408);
    assert_eq!(
        Talk::to(gateway.address()).rest(),
        "",
        "one that says nothing is told nothing"
    );
    eventually("both are gone", || gateway.stats().clients == 0);
}

#[test]
fn a_shutdown_lets_the_request_under_way_end_and_closes_what_is_idle() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let origin = Origin::scripted(move |talk, _| {
        talk.head();
        let _ = wait.lock().unwrap().recv();
        talk.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        talk.rest();
    });
    let gateway = gateway(&origin);
    let (mut idle, mut busy) = (Talk::to(gateway.address()), Talk::to(gateway.address()));
    busy.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    eventually("the request is under way", || {
        addresses(&gateway)[0].leased == 1 && gateway.stats().clients == 2
    });
    let ending = ending(gateway);
    assert_eq!(idle.rest(), "");
    go.send(()).unwrap();
    assert!(busy.rest().ends_with("ok"));
    assert_eq!(ending.join().unwrap().cut, 0);
}

#[test]
fn a_drop_cuts_everything_off() {
    let origin = Origin::scripted(|talk, _| {
        talk.head();
        talk.rest();
    });
    let gateway = gateway(&origin);
    let mut busy = Talk::to(gateway.address());
    busy.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    eventually("the request is under way", || {
        addresses(&gateway)[0].leased == 1
    });
    drop(gateway);
    assert_eq!(busy.rest(), "");
}

#[test]
fn several_workers_share_the_clients() {
    let origin = Origin::hello();
    let mut options = options(upstream(&[&origin]));
    options.workers = std::num::NonZeroUsize::new(3).unwrap();
    let gateway = Gateway::start(options).unwrap();
    let mut talks: Vec<Talk> = (0..30).map(|_| Talk::to(gateway.address())).collect();
    for talk in &mut talks {
        talk.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(status(&talk.head().unwrap()), 200);
    }
    assert_eq!(gateway.stats().clients, 30);
    drop(talks);
    eventually("all are gone", || gateway.stats().clients == 0);
}

#[test]
fn what_nobody_waits_for_any_more_is_given_up() {
    const GET: &[&str] = &["GET / HTTP/1.1\r\nhost: a\r\n\r\n"];
    const POST: &[&str] = &[
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n",
        "body",
    ];
    for said in [GET, POST] {
        let origin = Origin::scripted(|talk, _| {
            talk.head();
            // Nothing is ever said; the end of the connection is seen.
            talk.rest();
        });
        let gateway = gateway(&origin);
        let mut talk = Talk::to(gateway.address());
        for part in said {
            talk.say(part);
            eventually("the request is under way", || {
                addresses(&gateway)[0].leased == 1
            });
        }
        drop(talk);
        eventually("nothing is held", || {
            is_at_rest(&gateway) && gateway.stats().clients == 0
        });
    }
}

/// Ends a gateway while the test goes on.
fn ending(gateway: Gateway) -> std::thread::JoinHandle<plunge::proxy::plain::GatewayReport> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    std::thread::spawn(move || runtime.block_on(gateway.shutdown(Duration::from_secs(20))))
}

/// Whether nobody takes connections there any more.
fn is_left(address: std::net::SocketAddr) -> bool {
    std::net::TcpStream::connect(address).is_err()
}

#[test]
fn a_request_on_an_idle_connection_is_served_at_a_shutdown_and_is_its_last() {
    let origin = Origin::hello();
    let gateway = gateway(&origin);
    let address = gateway.address();
    let mut idle = Talk::to(address);
    idle.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let head = idle.head().unwrap();
    assert!(!head.contains("close"), "{head}");
    idle.bytes(5);
    let ending = ending(gateway);
    eventually("nobody is let in any more", || is_left(address));
    idle.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let head = idle.head().expect("it is served");
    assert!(head.contains("connection: close\r\n"), "{head}");
    assert_eq!(idle.rest(), "hello");
    drop(idle);
    assert_eq!(ending.join().unwrap().cut, 0);
}

#[test]
fn whoever_waits_to_be_taken_is_served_at_a_shutdown() {
    let origin = Origin::hello();
    let mut options = options(upstream(&[&origin]));
    options.workers = std::num::NonZeroUsize::new(2).unwrap();
    for _ in 0..5 {
        let gateway = Gateway::start(options.clone()).unwrap();
        let mut talks: Vec<Talk> = (0..50).map(|_| Talk::to(gateway.address())).collect();
        let ending = ending(gateway);
        for talk in &mut talks {
            assert!(talk.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
        }
        for mut talk in talks {
            assert!(talk.rest().ends_with("hello"));
        }
        assert_eq!(ending.join().unwrap().cut, 0);
    }
}

#[test]
fn a_worker_to_whom_nobody_comes_holds_no_place_of_another() {
    let origin = Origin::hello();
    let mut options = options(upstream(&[&origin]));
    options.workers = std::num::NonZeroUsize::new(4).unwrap();
    options.max_clients = 1;
    let gateway = Gateway::start(options).unwrap();
    for _ in 0..20 {
        assert_eq!(status(&get(&gateway, "/")), 200);
    }
}
