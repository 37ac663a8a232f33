//! Heads and bodies that could be read in two ways, or cost too much: each has its status, ends its
//! connection, and harms nobody else.

use crate::fixture::{Origin, Talk, ask, gateway, get, options, status, upstream};
use plunge::proxy::plain::Gateway;

/// What is wrong, what is sent, and the status it gets.
const SHAPES: &[(&str, &str, u16)] = &[
    (
        "two lengths",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        400,
    ),
    (
        "the same length twice",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na",
        400,
    ),
    (
        "a list of lengths",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 1\r\n\r\na",
        400,
    ),
    (
        "a signed length",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\na",
        400,
    ),
    (
        "a negative length",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\na",
        400,
    ),
    (
        "a length in hexadecimal",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x1\r\n\r\na",
        400,
    ),
    (
        "an empty length",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: \r\n\r\na",
        400,
    ),
    (
        "a length beyond 64 bits",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999\r\n\r\na",
        400,
    ),
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
        "chunks in HTTP/1.0",
        "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunked twice",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunked in two fields",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunked not last",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        501,
    ),
    (
        "another coding",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    (
        "a coding that looks alike",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    (
        "identity",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: identity\r\ncontent-length: 1\r\n\r\na",
        501,
    ),
    (
        "a coding with a vertical tab",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "an empty coding",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "a folded field",
        "GET / HTTP/1.1\r\nhost: a\r\nx-a: b\r\n c\r\n\r\n",
        400,
    ),
    (
        "a folded coding",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "a field before the first",
        "GET / HTTP/1.1\r\n x: y\r\nhost: a\r\n\r\n",
        400,
    ),
    (
        "a space before the colon",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length : 1\r\n\r\na",
        400,
    ),
    (
        "a tab before the colon",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding\t: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "no colon",
        "GET / HTTP/1.1\r\nhost: a\r\nnonsense\r\n\r\n",
        400,
    ),
    (
        "an empty name",
        "GET / HTTP/1.1\r\nhost: a\r\n: b\r\n\r\n",
        400,
    ),
    ("LF alone", "GET / HTTP/1.1\nhost: a\n\n", 400),
    (
        "LF alone in one line",
        "GET / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n",
        400,
    ),
    (
        "LF alone at the end",
        "GET / HTTP/1.1\r\nhost: a\r\n\n",
        400,
    ),
    (
        "CR in a value",
        "GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n",
        400,
    ),
    (
        "NUL in a value",
        "GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n",
        400,
    ),
    (
        "NUL in a name",
        "GET / HTTP/1.1\r\nhost: a\r\nx\0y: a\r\n\r\n",
        400,
    ),
    ("no host", "GET / HTTP/1.1\r\nx: y\r\n\r\n", 400),
    (
        "two hosts",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        400,
    ),
    (
        "a list of hosts",
        "GET / HTTP/1.1\r\nhost: a, b\r\n\r\n",
        400,
    ),
    (
        "a host with a path",
        "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n",
        400,
    ),
    (
        "a host with a user",
        "GET / HTTP/1.1\r\nhost: a@b\r\n\r\n",
        400,
    ),
    (
        "two spaces before the target",
        "GET  / HTTP/1.1\r\nhost: a\r\n\r\n",
        400,
    ),
    (
        "a space in the target",
        "GET /a b HTTP/1.1\r\nhost: a\r\n\r\n",
        400,
    ),
    ("a fragment", "GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    (
        "a target that is none",
        "GET a HTTP/1.1\r\nhost: a\r\n\r\n",
        400,
    ),
    (
        "another scheme",
        "GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n",
        400,
    ),
    (
        "a URL with a user",
        "GET http://u@a/ HTTP/1.1\r\nhost: a\r\n\r\n",
        400,
    ),
    ("no version", "GET /\r\nhost: a\r\n\r\n", 400),
    ("another version", "GET / HTTP/1.2\r\nhost: a\r\n\r\n", 505),
    ("no HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", 400),
    (
        "a method with a colon",
        "GE:T / HTTP/1.1\r\nhost: a\r\n\r\n",
        400,
    ),
    (
        "a tunnel",
        "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n",
        501,
    ),
    (
        "an expectation",
        "POST / HTTP/1.1\r\nhost: a\r\nexpect: a-miracle\r\ncontent-length: 1\r\n\r\na",
        417,
    ),
    (
        "a chunk that is no number",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nx\r\n\r\n",
        400,
    ),
    (
        "a signed chunk",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
        400,
    ),
    (
        "a chunk as in C",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
        400,
    ),
    (
        "a chunk that is too long for it",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        400,
    ),
    (
        "a chunk beyond 64 bits",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n10000000000000000\r\na",
        400,
    ),
    (
        "a chunk after LF alone",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
        400,
    ),
    (
        "an extension with LF alone",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n",
        400,
    ),
    (
        "LF alone after a chunk",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\n0\r\n\r\n",
        400,
    ),
    (
        "a trailer with LF alone",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: y\n\r\n",
        400,
    ),
    (
        "a trailer that is none",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nnonsense\r\n\r\n",
        400,
    ),
    (
        "something after a chunk's size",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1 0\r\na\r\n0\r\n\r\n",
        400,
    ),
    (
        "a body that is too long",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2000\r\n\r\n",
        413,
    ),
];

fn small() -> (Origin, Gateway) {
    let origin = Origin::hello();
    let mut options = options(upstream(&[&origin]));
    options.limits.max_body_bytes = 1000;
    options.limits.max_target_bytes = 1000;
    options.limits.max_head_bytes = 4000;
    options.limits.max_fields = 20;
    (origin, Gateway::start(options).unwrap())
}

#[test]
fn each_hostile_shape_is_refused_with_its_status_and_the_connection_ends() {
    let (origin, gateway) = small();
    for (what, request, expected) in SHAPES {
        // What follows would be a request of its own to whoever read the first in another way.
        let answer = ask(
            &gateway,
            format!("{request}GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"),
        );
        assert_eq!(status(&answer), *expected, "{what}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
        assert!(answer.contains("connection: close\r\n"), "{what}: {answer}");
        assert_eq!(status(&get(&gateway, "/")), 200, "after {what}");
    }
    let heads = origin.heads.lock().unwrap();
    assert!(
        !heads.iter().any(|head| head.contains("smuggled")),
        "{heads:?}"
    );
}

#[test]
fn what_is_too_long_is_refused_before_it_is_over() {
    let (_origin, gateway) = small();
    let long = "a".repeat(5000);
    let many = "x: y\r\n".repeat(21);
    let chunk = format!("3e9\r\n{}\r\n", "a".repeat(1001));
    let cases = [
        ("a target", format!("GET /{long}"), 414),
        (
            "a whole target",
            format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", &long[..1500]),
            414,
        ),
        (
            "a field",
            format!("GET / HTTP/1.1\r\nhost: a\r\nx: {long}"),
            431,
        ),
        (
            "fields",
            format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n"),
            431,
        ),
        ("a method", long.clone(), 400),
        (
            "a chunk",
            format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunk}"),
            413,
        ),
    ];
    for (what, request, expected) in cases {
        let answer = ask(&gateway, request);
        let got = status(&answer);
        assert!(
            got == expected || (what == "a method" && got == 414),
            "{what}: {answer}"
        );
        assert_eq!(status(&get(&gateway, "/")), 200, "after {what}");
    }
}

#[test]
fn a_refusal_is_read_although_the_body_keeps_coming() {
    let (_origin, gateway) = small();
    let mut talk = Talk::to(gateway.address());
    talk.say("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n");
    for _ in 0..10 {
        talk.say([b'a'; 10_000]);
    }
    assert_eq!(status(&talk.rest()), 413);
}

#[test]
fn a_head_that_comes_byte_by_byte_is_read() {
    let origin = Origin::hello();
    let gateway = gateway(&origin);
    let mut talk = Talk::to(gateway.address());
    for byte in b"GET /slow HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" {
        talk.say([*byte]);
    }
    assert_eq!(status(&talk.rest()), 200);
}
