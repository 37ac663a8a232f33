//! Bodies on their way: as they come, in order, never more than a buffer of them.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use plunge::proxy::plain::Gateway;

use crate::fixture::{Origin, Talk, ask, eventually, gateway, get, options, status, upstream};

#[test]
fn requests_that_come_together_are_answered_in_order() {
    let origin = Origin::scripted(|talk, _| {
        while let Some(head) = talk.head() {
            let path = head.split(' ').nth(1).unwrap().to_owned();
            talk.say(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}",
                path.len()
            ));
        }
    });
    let gateway = gateway(&origin);
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    let last = "GET /4 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = ask(&gateway, one("/1") + &one("/2") + &one("/3") + last);
    let paths: Vec<&str> = answer
        .split("\r\n\r\n")
        .skip(1)
        .map(|part| &part[..2])
        .collect();
    assert_eq!(paths, ["/1", "/2", "/3", "/4"]);
    assert_eq!(origin.connections(), 1);
}

/// Answers with the body that came, in chunks as they are.
fn echo() -> Origin {
    Origin::scripted(|talk, _| {
        while let Some(head) = talk.head() {
            let head = head.to_lowercase();
            if let Some((_, rest)) = head.split_once("content-length: ") {
                let length = rest.split("\r\n").next().unwrap().parse().unwrap();
                let body = talk.bytes(length).unwrap();
                talk.say(format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"
                ));
                talk.say(body);
            } else if head.contains("chunked") {
                let body = talk.until("0\r\n").unwrap() + &talk.until("\r\n").unwrap();
                let trailers = match body.ends_with("\r\n\r\n") {
                    true => String::new(),
                    false => talk.until("\r\n").unwrap(),
                };
                talk.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
                talk.say(body + &trailers);
            }
        }
    })
}

#[test]
fn bodies_of_a_length_go_through_whatever_their_length() {
    let origin = echo();
    let gateway = gateway(&origin);
    let mut talk = Talk::to(gateway.address());
    for length in [0, 1, 100, 16_000, 16_384, 16_385, 40_000, 1_000_000] {
        let body: Vec<u8> = (0..length).map(|at| b'a' + (at % 26) as u8).collect();
        let mut writer = Talk::new(talk.stream.try_clone().unwrap());
        let (head, sent) = (
            format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n"),
            body.clone(),
        );
        let writing = thread::spawn(move || {
            writer.say(head);
            writer.say(sent);
        });
        let head = talk.head().unwrap();
        assert!(
            head.contains(&format!("content-length: {length}\r\n")),
            "{head}"
        );
        assert!(talk.bytes(length).unwrap() == body, "{length} bytes");
        writing.join().unwrap();
    }
    assert_eq!(origin.connections(), 1, "all of them over one connection");
}

#[test]
fn chunks_and_trailers_go_through_but_for_what_changes_the_reading() {
    let origin = echo();
    let gateway = gateway(&origin);
    let answer = ask(
        &gateway,
        "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
         3;name=value\r\nabc\r\n00A\r\n0123456789\r\n0\r\nX-Sum: 1\r\nContent-Length: 5\r\nHost: b\r\n\r\n",
    );
    assert_eq!(status(&answer), 200);
    assert!(answer.contains("3\r\nabc\r\n"), "{answer}");
    assert!(
        answer.contains("a\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n"),
        "{answer}"
    );
    assert!(
        !answer.contains("name=value") && !answer.contains("Host: b"),
        "{answer}"
    );
}

#[test]
fn an_answer_that_ends_with_its_connection_is_put_in_chunks() {
    let origin = Origin::scripted(|talk, _| {
        talk.head();
        talk.say("HTTP/1.1 200 OK\r\n\r\nabc");
        talk.say("def");
    });
    let gateway = gateway(&origin);
    let mut talk = Talk::to(gateway.address());
    talk.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(
        talk.head()
            .unwrap()
            .contains("transfer-encoding: chunked\r\n")
    );
    let body = talk.until("0\r\n\r\n").unwrap();
    let letters: String = body
        .chars()
        .filter(|letter| letter.is_ascii_lowercase())
        .collect();
    assert!(
        letters.contains("abc") || letters.contains("abcdef"),
        "{body}"
    );
    talk.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(talk.head().is_some(), "the client's connection stays");
}

#[test]
fn an_answer_that_breaks_off_is_not_passed_on_as_whole() {
    let shapes = [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    ];
    for shape in shapes {
        let origin = Origin::scripted(move |talk, _| {
            talk.head();
            talk.say(shape);
        });
        let gateway = gateway(&origin);
        let answer = get(&gateway, "/");
        assert!(!answer.ends_with("0\r\n\r\n"), "{shape:?}: {answer}");
        assert!(
            !answer.contains("content-length: 3\r\n"),
            "{shape:?}: {answer}"
        );
    }
}

#[test]
fn answers_without_a_body_have_none() {
    let cases = [
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
            "content-length: 5\r\n",
        ),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204"),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
            "content-length: 5\r\n",
        ),
    ];
    for (method, said, expected) in cases {
        let origin = Origin::answering(said);
        let gateway = gateway(&origin);
        let mut talk = Talk::to(gateway.address());
        for _ in 0..2 {
            talk.say(format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n"));
            let head = talk.head().unwrap();
            assert!(head.contains(expected), "{head}");
        }
        assert_eq!(origin.connections(), 1);
    }
}

#[test]
fn what_is_said_before_the_answer_reaches_who_waits_for_it() {
    let origin = Origin::scripted(|talk, _| {
        assert!(
            talk.head()
                .unwrap()
                .to_lowercase()
                .contains("expect: 100-continue")
        );
        talk.say("HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(talk.bytes(3).unwrap(), b"abc");
        talk.say("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
    let gateway = gateway(&origin);
    let mut talk = Talk::to(gateway.address());
    talk.say("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n");
    assert!(talk.head().unwrap().starts_with("HTTP/1.1 100 "));
    talk.say("abc");
    assert!(talk.head().unwrap().starts_with("HTTP/1.1 103 "));
    assert!(talk.head().unwrap().starts_with("HTTP/1.1 200 "));
    assert_eq!(talk.bytes(2).unwrap(), b"ok");
}

#[test]
fn an_answer_before_the_end_of_the_request_is_passed_on() {
    let origin = Origin::scripted(|talk, _| {
        talk.head();
        talk.say("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
        talk.rest();
    });
    let gateway = gateway(&origin);
    let mut talk = Talk::to(gateway.address());
    talk.say("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nabc");
    let answer = talk.rest();
    assert_eq!(status(&answer), 403);
    assert!(answer.ends_with("no"), "{answer}");
}

#[test]
fn both_directions_move_at_the_same_time() {
    let origin = Origin::scripted(|talk, _| {
        talk.head();
        talk.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        for _ in 0..10 {
            let chunk = talk.until("\r\n").unwrap() + &talk.until("\r\n").unwrap();
            talk.say(chunk);
        }
        talk.until("0\r\n\r\n");
        talk.say("0\r\n\r\n");
    });
    let gateway = gateway(&origin);
    let mut talk = Talk::to(gateway.address());
    talk.say("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    talk.head();
    for turn in 0..10 {
        talk.say(format!("2\r\nx{turn}\r\n"));
        assert_eq!(
            talk.until("\r\n").unwrap() + &talk.until("\r\n").unwrap(),
            format!("2\r\nx{turn}\r\n")
        );
    }
    talk.say("0\r\n\r\n");
    assert!(talk.until("0\r\n\r\n").is_some());
}

/// What the system's buffers on two connections and one of the proxy's hold at most.
const BUFFERED: usize = 24 << 20;
const LARGE: usize = 256 << 20;

#[test]
fn a_reader_that_stands_still_stops_the_upstream() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    let origin = Origin::scripted(move |talk, _| {
        talk.head();
        talk.say(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n"
        ));
        talk.stream
            .set_write_timeout(Some(std::time::Duration::from_millis(500)))
            .unwrap();
        let piece = vec![b'a'; 1 << 16];
        while let Ok(wrote) = talk.stream.write(&piece) {
            if count.fetch_add(wrote, Ordering::SeqCst) + wrote >= LARGE {
                return;
            }
        }
    });
    let gateway = gateway(&origin);
    let mut talk = Talk::to(gateway.address());
    talk.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    talk.head();
    // Its write times out: nobody took more.
    crate::fixture::eventually("the upstream stands still", || origin.ended() == 1);
    assert!(
        written.load(Ordering::SeqCst) < BUFFERED,
        "{}",
        written.load(Ordering::SeqCst)
    );
}

#[test]
fn an_upstream_that_stands_still_stops_the_client() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let origin = Origin::scripted(move |talk, _| {
        talk.head();
        let _ = wait.lock().unwrap().recv();
        let mut left = LARGE;
        let mut buffer = vec![0; 1 << 16];
        while left > 0 {
            match talk.stream.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(count) => left = left.saturating_sub(count),
            }
        }
        talk.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    });
    let gateway = gateway(&origin);
    let mut talk = Talk::to(gateway.address());
    talk.say(format!(
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {LARGE}\r\n\r\n"
    ));
    let piece = vec![b'a'; 1 << 16];
    talk.stream
        .set_write_timeout(Some(std::time::Duration::from_millis(500)))
        .unwrap();
    let mut written = 0;
    while let Ok(count) = talk.stream.write(&piece) {
        written += count;
        assert!(written < BUFFERED, "{written}");
    }
    drop(go);
}

#[test]
fn an_answer_before_the_end_of_the_request_says_that_it_is_the_last() {
    let origin = Origin::scripted(|talk, _| {
        talk.head();
        talk.say("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
        talk.rest();
    });
    let gateway = gateway(&origin);
    for connection in ["", "connection: close\r\n"] {
        let mut talk = Talk::to(gateway.address());
        talk.say(format!(
            "POST / HTTP/1.1\r\nhost: a\r\n{connection}content-length: 3000000\r\n\r\n"
        ));
        let head = talk.head().unwrap().to_lowercase();
        assert!(head.contains("connection: close\r\n"), "{head}");
        // Whoever goes on to send is listened to for a while: a reset would take the answer with it.
        for _ in 0..30 {
            assert!(talk.say([b'a'; 65536]));
        }
        assert_eq!(talk.rest(), "no");
    }
}

#[test]
fn an_upstream_that_ends_after_it_told_to_go_on_is_502() {
    let origin = Origin::scripted(|talk, _| {
        talk.head();
        talk.say("HTTP/1.1 100 Continue\r\n\r\n");
        talk.bytes(1);
    });
    let gateway = gateway(&origin);
    let mut talk = Talk::to(gateway.address());
    talk.say("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n");
    assert_eq!(status(&talk.head().unwrap()), 100);
    talk.say("a");
    assert_eq!(status(&talk.rest()), 502);
}

#[test]
fn an_upstream_that_says_nothing_but_go_on_is_502() {
    let origin = Origin::scripted(|talk, _| {
        talk.head();
        while talk.say("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n") {}
    });
    let gateway = gateway(&origin);
    let said = get(&gateway, "/");
    assert!(said.matches("HTTP/1.1 103 ").count() <= 100);
    let last = said.rfind("HTTP/1.1 ").unwrap();
    assert_eq!(status(&said[last..]), 502);
    // Who speaks HTTP/1.0 is told of none of them.
    assert_eq!(status(&ask(&gateway, "GET / HTTP/1.0\r\n\r\n")), 502);
}

#[test]
fn an_answer_whose_connection_is_reset_is_not_passed_on_as_whole() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let origin = Origin::scripted(move |talk, _| {
        talk.head();
        talk.say("HTTP/1.1 200 OK\r\n\r\nabc");
        let _ = wait.lock().unwrap().recv();
        // Closed now, it says so by a reset.
        let socket = socket2::SockRef::from(&talk.stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    });
    let gateway = gateway(&origin);
    let mut talk = Talk::to(gateway.address());
    talk.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(talk.until("abc\r\n").is_some());
    go.send(()).unwrap();
    assert_eq!(talk.rest(), "", "no last chunk");
}

#[test]
fn no_refusal_is_written_into_half_of_what_is_said_before_the_answer() {
    let origin = Origin::scripted(|talk, _| {
        talk.head();
        let hint = format!(
            "HTTP/1.1 103 Early Hints\r\nlink: {}\r\n\r\n",
            "x".repeat(200_000)
        );
        let mut said = 0;
        while said < 99 && talk.say(&hint) {
            said += 1;
        }
        talk.rest();
    });
    let mut options = options(upstream(&[&origin]));
    let timeouts = &mut options.routes[0].upstream.timeouts;
    timeouts.request = Duration::from_millis(200);
    timeouts.idle = Duration::from_millis(200);
    let gateway = Gateway::start(options).unwrap();
    let mut talk = Talk::to(gateway.address());
    talk.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    // It takes nothing: what is said stands still in the middle.
    eventually("it is over", || {
        let stats = gateway.stats();
        stats.broken + stats.refused > 0
    });
    assert_eq!(gateway.stats().broken, 1, "it is cut off");
}
