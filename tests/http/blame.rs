//! Who is blamed for what: an upstream for what it does, and for nothing else; and how it comes back.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use crate::fixture::{
    Origin, PATIENCE, Talk, addresses, eventually, get, is_at_rest, options, status, upstream,
};
use plunge::proxy::plain::{Gateway, UpstreamOptions};
use plunge::transport::http::HttpTarget;

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome";

/// Asks, and keeps the connection; the head of the answer.
fn begin(gateway: &Gateway) -> (Talk, String) {
    let mut talk = Talk::to(gateway.address());
    talk.say(GET);
    let head = talk.head().unwrap();
    (talk, head)
}

/// Breaks off without an answer until it is well; then it begins a stream that does not end.
fn ailing() -> (Origin, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(false));
    let is_well = well.clone();
    let origin = Origin::scripted(move |talk, _| {
        if talk.head().is_some() && is_well.load(Ordering::SeqCst) {
            talk.say(STREAM);
            talk.rest();
        }
    });
    (origin, well)
}

#[test]
fn an_address_that_nobody_asks_any_more_is_left_alone_for_no_longer_than_its_pause() {
    let (origin, _) = ailing();
    let mut options = options(upstream(&[&origin]));
    options.routes[0].upstream.breaker.failures = 1;
    options.routes[0].upstream.breaker.cooldown = Duration::from_millis(500);
    let gateway = Gateway::start(options).unwrap();
    assert_eq!(status(&get(&gateway, "/")), 502);
    assert_eq!(addresses(&gateway)[0].ejections, 1);
    eventually("a request would be sent to it", || {
        addresses(&gateway)[0].ejected_by == 0
    });
}

#[test]
fn a_stream_that_begins_well_brings_an_address_back_before_it_ends() {
    let (origin, well) = ailing();
    let mut options = options(upstream(&[&origin]));
    options.routes[0].upstream.breaker.failures = 1;
    let gateway = Gateway::start(options).unwrap();
    assert_eq!(status(&get(&gateway, "/")), 502);
    well.store(true, Ordering::SeqCst);
    let mut streams = Vec::new();
    let mut is_served = || {
        let (talk, head) = begin(&gateway);
        streams.push(talk);
        status(&head) == 200
    };
    eventually("the first one is let through", &mut is_served);
    for _ in 0..3 {
        assert!(is_served(), "while the first goes on");
    }
}

#[test]
fn answers_that_break_off_in_their_middle_are_failures() {
    let origin = Origin::scripted(|talk, _| {
        talk.head();
        talk.say(STREAM);
    });
    let mut options = options(upstream(&[&origin]));
    options.routes[0].upstream.breaker.failures = 3;
    options.routes[0].upstream.breaker.cooldown = PATIENCE * 2;
    options.routes[0].upstream.breaker.longest_cooldown = PATIENCE * 2;
    let gateway = Gateway::start(options).unwrap();
    for turn in 1..=3 {
        let (mut talk, head) = begin(&gateway);
        assert_eq!(status(&head), 200);
        assert_eq!(talk.rest(), "some");
        eventually("it is counted", || addresses(&gateway)[0].failures == turn);
    }
    assert_eq!(status(&get(&gateway, "/")), 503);
    assert_eq!(gateway.stats().broken, 3);
}

#[test]
fn what_breaks_off_under_many_requests_at_once_is_one_failure() {
    const MANY: usize = 12;
    let heard = Arc::new(AtomicUsize::new(0));
    let (count, together) = (heard.clone(), Barrier::new(MANY));
    let origin = Origin::scripted(move |talk, number| {
        while talk.head().is_some() {
            if number >= MANY {
                talk.say(OK);
                continue;
            }
            count.fetch_add(1, Ordering::SeqCst);
            together.wait();
            return;
        }
    });
    let gateway = Gateway::start(options(upstream(&[&origin]))).unwrap();
    let mut talks: Vec<Talk> = (0..MANY).map(|_| Talk::to(gateway.address())).collect();
    for talk in &mut talks {
        talk.say("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
    }
    for talk in &mut talks {
        assert_eq!(status(&talk.head().unwrap()), 502);
    }
    assert_eq!(heard.load(Ordering::SeqCst), MANY);
    assert_eq!(status(&get(&gateway, "/")), 200);
    assert_eq!(addresses(&gateway)[0].ejections, 0);
}

#[test]
fn a_client_that_leaves_a_stream_is_counted_with_what_it_had() {
    let (origin, well) = ailing();
    well.store(true, Ordering::SeqCst);
    let gateway = Gateway::start(options(upstream(&[&origin]))).unwrap();
    let (mut talk, head) = begin(&gateway);
    assert_eq!(status(&head), 200);
    talk.bytes(4).unwrap();
    let answers = || gateway.stats().upstreams.swap_remove(0).answers;
    eventually("its bytes are counted while it goes on", || {
        let answers = answers();
        (answers.answers[2], answers.sent_bytes) == (1, 4)
    });
    assert_eq!(gateway.stats().answers[2], 1);
    drop(talk);
    eventually("nothing is held", || {
        is_at_rest(&gateway) && gateway.stats().clients == 0
    });
    let stats = gateway.stats();
    assert_eq!((stats.answers[2], stats.broken), (1, 1));
    assert_eq!(addresses(&gateway)[0].failures, 0);
    assert_eq!(answers().sent_bytes, 4);
}

#[test]
fn an_upstream_that_hangs_for_the_whole_time_of_a_call_is_to_blame() {
    let origin = Origin::scripted(|talk, _| {
        talk.head();
        talk.rest();
    });
    let mut options = options(upstream(&[&origin]));
    options.routes[0].upstream.timeouts.overall = Duration::from_millis(200);
    let gateway = Gateway::start(options).unwrap();
    assert_eq!(status(&get(&gateway, "/")), 504);
    assert_eq!(addresses(&gateway)[0].failures, 1);
}

/// Listens, and takes no more connections than the one that it returns.
fn deaf() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Connections that fill a listener's backlog, so that the next is not answered.
fn fill(address: SocketAddr) -> Vec<TcpStream> {
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
    std::iter::from_fn(connect).collect()
}

#[test]
fn a_dial_of_another_that_is_under_way_is_no_failure() {
    let (listener, address) = deaf();
    let target = HttpTarget::parse(&format!("http://{address}")).unwrap();
    let mut options = options(UpstreamOptions::new("deaf", vec![target]));
    let upstream = &mut options.routes[0].upstream;
    upstream.max_connections = 1;
    upstream.acquire_timeout = Duration::from_secs(3);
    upstream.timeouts.connect = Duration::from_millis(2500);
    let gateway = Gateway::start(options).unwrap();
    let mut first = Talk::to(gateway.address());
    first.say(GET);
    let mut served = Talk::new(listener.accept().unwrap().0);
    served.head().unwrap();
    let waiting = fill(address);
    let mut second = Talk::to(gateway.address());
    let begun = Instant::now();
    second.say(GET);
    eventually("it waits", || addresses(&gateway)[0].waiting == 1);
    // Late enough that the dial outlasts its patience.
    eventually("it is late", || {
        begun.elapsed() >= Duration::from_millis(1500)
    });
    drop(first);
    assert_eq!(status(&second.rest()), 503);
    assert_eq!(addresses(&gateway)[0].failures, 0);
    drop((served, waiting, listener));
}

#[test]
fn an_address_that_answers_no_dial_is_late_and_to_blame() {
    let (listener, address) = deaf();
    let waiting = fill(address);
    let target = HttpTarget::parse(&format!("http://{address}")).unwrap();
    let mut options = options(UpstreamOptions::new("deaf", vec![target]));
    options.routes[0].upstream.acquire_timeout = Duration::from_millis(100);
    options.routes[0].upstream.timeouts.connect = Duration::from_millis(300);
    let gateway = Gateway::start(options).unwrap();
    assert_eq!(status(&get(&gateway, "/")), 504);
    assert_eq!(addresses(&gateway)[0].failures, 1);
    drop((waiting, listener));
}

#[test]
fn an_address_where_nobody_listens_is_told_as_that_and_soon_left_alone() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let target = HttpTarget::parse(&url).unwrap();
    let mut options = options(UpstreamOptions::new("nobody", vec![target]));
    let upstream = &mut options.routes[0].upstream;
    // Shorter than the pauses between dials.
    upstream.acquire_timeout = Duration::from_millis(100);
    upstream.breaker.cooldown = PATIENCE * 2;
    upstream.breaker.longest_cooldown = PATIENCE * 2;
    let gateway = Gateway::start(options).unwrap();
    eventually("it is left alone", || {
        let mut talks: Vec<Talk> = (0..20).map(|_| Talk::to(gateway.address())).collect();
        for talk in &mut talks {
            talk.say("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        }
        for talk in &mut talks {
            let answer = talk.rest();
            assert!(!answer.contains("in use"), "{answer}");
        }
        addresses(&gateway)[0].ejections == 1
    });
}
