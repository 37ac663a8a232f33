//! The command: plain HTTP alone, and beside MCP.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::fixture::{Origin, Talk, status};

const PLUNGE: &str = env!("CARGO_BIN_EXE_plunge");

/// The command at work; ended if a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it, and reads where clients connect, and where the admin pages are.
fn start(arguments: &[&str]) -> (Running, SocketAddr, SocketAddr) {
    let child = Command::new(PLUNGE)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let mut http = None;
    for line in lines.map_while(Result::ok) {
        let named = |begin: &str| {
            let (_, rest) = line.split_once(begin)?;
            Some(rest.split('/').next().unwrap().parse().unwrap())
        };
        http = http.or_else(|| named("http listening on http://"));
        if let (Some(http), Some(admin)) = (http, named("admin: http://")) {
            return (running, http, admin);
        }
    }
    panic!("it does not say where it listens");
}

fn end(mut running: Running) -> Option<i32> {
    let pid = rustix::process::Pid::from_child(&running.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    running.0.wait().unwrap().code()
}

#[test]
fn it_serves_alone_and_beside_mcp_and_ends_in_order() {
    let origin = Origin::hello();
    let url = format!("/api/=http://{}", origin.address);
    let anywhere = "127.0.0.1:0";
    let http = ["--http", &url, "--http-listen", anywhere];
    let alone = [&["serve", "--admin", anywhere][..], &http].concat();
    let mcp = format!("{PLUNGE} demo-server");
    let more = ["--stdio", &mcp, "--listen", anywhere];
    let beside = [alone.clone(), more.to_vec()].concat();
    for arguments in [alone, beside] {
        let (running, address, admin) = start(&arguments);
        let mut talk = Talk::to(address);
        talk.say("GET /api HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(status(&talk.head().unwrap()), 200);
        assert_eq!(talk.bytes(5).unwrap(), b"hello");
        for (path, wanted) in [
            ("/readyz", "ready"),
            ("/metrics", "plunge_http_upstream_seconds_count"),
        ] {
            let mut page = Talk::to(admin);
            page.say(format!(
                "GET {path} HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n"
            ));
            let page = page.rest();
            assert!(status(&page) == 200 && page.contains(wanted), "{page}");
        }
        assert_eq!(end(running), Some(0));
        assert_eq!(talk.rest(), "");
    }
}

#[test]
fn what_cannot_be_served_is_said_in_one_line_with_what_to_do() {
    let origin = Origin::hello();
    let (url, taken) = (
        format!("http://{}", origin.address),
        origin.address.to_string(),
    );
    let anywhere = "127.0.0.1:0";
    let (ported, itself) = (format!("a:8080={url}"), "http://127.0.0.1:8080");
    let cases: [(&[&str], i32, &str); 11] = [
        (
            &[
                "--http",
                "http://127.0.0.1:1",
                "--http-listen",
                &taken,
                "--admin",
                anywhere,
            ],
            1,
            "--http-listen",
        ),
        (
            &["--http", &url, "--http-listen", anywhere, "--admin", &taken],
            1,
            "--admin",
        ),
        (&["--http", &url, "--listen", anywhere], 2, "--http-listen"),
        (&["--http", "https://localhost"], 2, "https"),
        (&["--http", "/a=localhost:80"], 2, "http://"),
        (&["--http", "/a=http://a:1/path"], 2, "leave it out"),
        (&["--http", "/a=http://a:1,h2c://b:1"], 2, "h2c://"),
        (&["--http", &url, "--http", &url], 2, "two routes"),
        (&["--http", &ported], 2, "without port"),
        (&["--http", "/a//b=http://a:1"], 2, "one slash at a time"),
        (&["--http", itself], 2, "in a circle"),
    ];
    for (arguments, code, word) in cases {
        let done = Command::new(PLUNGE)
            .arg("serve")
            .args(arguments)
            .output()
            .unwrap();
        let text = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(word), "{arguments:?}: {text}");
    }
}
