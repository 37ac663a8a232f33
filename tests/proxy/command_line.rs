//! The `plunge` command: what it prints, how it ends, what it refuses.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::Client;
use crate::fixture::{PATIENCE, eventually, processes, python};

fn plunge() -> Command {
    Command::new(env!("CARGO_BIN_EXE_plunge"))
}

/// A proxy on ports that are free.
fn serving(args: &[&str]) -> Command {
    let mut command = plunge();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(args);
    command
}

/// The same, running; what it says and logs is read by the test.
fn heard(args: &[&str]) -> Child {
    serving(args)
        .env_remove("RUST_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn run(args: &[&str]) -> Output {
    plunge().args(args).stdin(Stdio::null()).output().unwrap()
}

/// A running proxy; killed if the test fails.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn serve(args: &[&str]) -> (Running, Vec<String>) {
    let mut child = serving(args).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .take(3)
        .map(Result::unwrap)
        .collect();
    (Running(child), lines)
}

/// Runs the printed line as a shell would.
fn paste(lines: &[String]) -> String {
    let line = lines
        .iter()
        .find_map(|line| line.strip_prefix("try:   "))
        .expect("a line to try");
    let shell = Command::new("sh").args(["-c", line]).output().unwrap();
    String::from_utf8(shell.stdout).unwrap()
}

#[test]
fn the_demo_says_once_that_it_listens_and_its_curl_line_works() {
    let (_running, lines) = serve(&[]);
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.contains("listening"))
            .count(),
        1,
        "{lines:?}"
    );
    assert_eq!(
        paste(&lines),
        r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"hello"}]}}"#
    );
    let admin = lines
        .iter()
        .find_map(|line| line.strip_prefix("admin: "))
        .unwrap();
    for page in ["healthz", "readyz", "stats"] {
        let curl = Command::new("curl")
            .args(["-sf", &format!("{admin}{page}")])
            .output()
            .unwrap();
        assert!(curl.status.success(), "{page}");
    }
}

#[test]
fn the_curl_line_of_session_mode_works_too() {
    let (_running, lines) = serve(&["--mode", "session"]);
    assert!(paste(&lines).contains("plunge-demo"));
}

#[tokio::test]
async fn both_signals_end_it_in_order_with_its_children() {
    for (number, signal) in [Signal::INT, Signal::TERM].into_iter().enumerate() {
        let mark = format!("plunge-test-signal-{number}-{}", std::process::id());
        let script = format!(
            "python3 {}/tests/proxy/child.py {mark}",
            env!("CARGO_MANIFEST_DIR")
        );
        let (mut running, _lines) = serve(&["--stdio", &script, "--mode", "session"]);
        eventually("one child waits", || processes(&mark).len() == 1).await;
        kill_process(Pid::from_raw(running.0.id() as i32).unwrap(), signal).unwrap();
        assert_eq!(running.0.wait().unwrap().code(), Some(0));
        eventually("no child is left", || processes(&mark).is_empty()).await;
    }
}

#[tokio::test]
async fn a_killed_proxy_leaves_no_process_not_even_what_its_children_started() {
    let mark = format!("plunge-test-orphan-{}", std::process::id());
    let starts = r#"import subprocess, sys, time; subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", sys.argv[1]]); time.sleep(600)"#;
    let deaf = format!("{} -c '{starts}' {mark}", python());
    let (mut running, _lines) = serve(&["--stdio", &deaf, "--mode", "session", "--min-idle", "3"]);
    eventually("three children wait, each with a child", || {
        processes(&mark).len() == 6
    })
    .await;
    running.0.kill().unwrap();
    running.0.wait().unwrap();
    eventually("no process is left", || processes(&mark).is_empty()).await;
}

#[test]
fn what_comes_later_and_what_makes_no_sense_is_refused_with_2() {
    let table: [(&[&str], &str); 16] = [
        (&["serve", "--config", "plunge.toml"], "plunge.toml"),
        (
            &["serve", "--mcp-http", "ftp://localhost"],
            "http://127.0.0.1:3000/mcp",
        ),
        (
            &[
                "serve",
                "--mcp-http",
                "http://localhost",
                "--mode",
                "oneshot",
            ],
            "oneshot",
        ),
        (
            &["serve", "--mcp-http", "http://localhost", "--stdio", "cat"],
            "--stdio",
        ),
        (&["serve", "--http", "https://localhost"], "https"),
        (&["serve", "--mode", "nonsense"], "mode"),
        (
            &["forward", "--mcp-http", "localhost"],
            "http://127.0.0.1:3000/mcp",
        ),
        (&["forward", "--upstream-header", "a: b"], "--mcp-http"),
        (&["serve", "--stdio", "cat 'open"], "quote"),
        (&["serve", "--stdio", ""], "no program"),
        (&["serve", "--listen", "nonsense"], "--listen"),
        (&["serve", "--max-connections", "0"], "max_connections"),
        (
            &["serve", "--min-idle", "9", "--max-connections", "3"],
            "min_idle",
        ),
        (&["serve", "--request-timeout", "0s"], "--request-timeout"),
        (
            &["serve", "--request-timeout", "5 parsecs"],
            "--request-timeout",
        ),
        (&["nonsense"], "nonsense"),
    ];
    for (args, named) in table {
        let output = run(args);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
        assert!(text.contains(named), "{args:?}: {text}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_port_in_use_and_a_missing_program_end_it_with_1_and_say_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--admin"] {
        let other = if flag == "--listen" {
            "--admin"
        } else {
            "--listen"
        };
        let output = run(&["serve", flag, &address, other, "127.0.0.1:0"]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(1) && text.contains(flag) && text.contains(&address),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    let text = serving(&["--stdio", "no-such-program"]).output().unwrap();
    assert_eq!(text.status.code(), Some(1));
    let text = String::from_utf8_lossy(&text.stderr);
    assert!(text.contains("no-such-program"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn a_program_that_ends_at_once_is_told_of_with_its_last_words() {
    let program = "sh -c 'echo no licence >&2; echo >&2; exit 3'";
    for mode in ["session", "oneshot"] {
        let mut child = heard(&["--mode", mode, "--stdio", program]);
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let _running = Running(child);
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || tell.send(lines.next()));
        let told = told.recv_timeout(PATIENCE).expect("it is told of");
        let told = told.unwrap().unwrap();
        for what in ["ended by itself", "exit status: 3", "no licence"] {
            assert!(told.contains(what), "{mode}: {told}");
        }
    }
}

#[test]
fn a_program_without_which_nothing_starts_has_its_last_words_said_too() {
    let program = "sh -c 'echo no licence >&2; exit 3'";
    for mode in ["shared", "stateless", "exclusive"] {
        let output = serving(&["--mode", mode, "--stdio", program]).output();
        let output = output.unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{mode}: {text}");
        assert!(text.contains("no licence"), "{mode}: {text}");
        assert!(text.contains("does not start"), "{mode}: {text}");
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_nothing() {
    let flood = "sh -c 'seq 2000 >&2; exec sleep 1000'";
    let mut child = serving(&["--mode", "session", "--min-idle", "12", "--stdio", flood])
        .env("RUST_LOG", "info")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let unread = child.stderr.take().unwrap();
    let mut running = Running(child);
    eventually("the pipe is full", || {
        rustix::io::ioctl_fionread(&unread).unwrap() > 60_000
    })
    .await;
    let pid = Pid::from_raw(running.0.id() as i32).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    eventually("it ends", || running.0.try_wait().unwrap().is_some()).await;
}

#[test]
fn an_access_log_that_cannot_be_written_is_named() {
    let nowhere = std::env::temp_dir().join("no-such-folder/access.log");
    let nowhere = nowhere.to_str().unwrap();
    let text = format!("{}[log]\naccess = {nowhere:?}\n", crate::configuration::ANY);
    let text = text + &crate::configuration::scripted("unlogged", "/mcp", "");
    let file = crate::configuration::File::new("unlogged", &text);
    let output = run(&["serve", "--config", file.0.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(nowhere) && !text.contains("pool"), "{text}");
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_told_of_in_one_line_and_waited_for() {
    let mut child = heard(&["--mcp-http", "http://127.0.0.1:1/mcp"]);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.take(3).count(), 3, "it serves");
    let pid = Pid::from_raw(child.id() as i32).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    // Later tries are told of by the pool.
    let told = text.lines().next().unwrap_or_default();
    assert!(
        told.contains("http://127.0.0.1:1/mcp") && told.contains("start it"),
        "{text}"
    );
    assert_eq!(text.matches("start it").count(), 1, "{text}");
}

#[test]
fn the_demo_server_speaks_over_standard_streams_until_its_input_ends() {
    use std::io::Write;
    let mut child = plunge()
        .arg("demo-server")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"sleep","arguments":{{"ms":30}}}}}}"#).unwrap();
    writeln!(input, r#"{{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{{"name":"add","arguments":{{"a":1,"b":2}}}}}}"#).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(
        lines.next().unwrap().unwrap().contains("\"id\":2"),
        "a sleeping call holds up nobody"
    );
    assert!(lines.next().unwrap().unwrap().contains("slept 30 ms"));
    drop(input);
    assert!(lines.next().is_none());
    assert!(child.wait().unwrap().success());
    let mut nothing = String::new();
    assert_eq!(
        child
            .stderr
            .map_or(0, |mut text| text.read_to_string(&mut nothing).unwrap()),
        0
    );
}

#[tokio::test]
async fn the_log_says_once_that_a_server_is_left_alone_and_once_that_it_answers_again() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proxy/child.py");
    let server = format!("{} {script}", python());
    let breaker = ["--breaker-failures", "1", "--breaker-cooldown", "300ms"];
    let shared = ["--mode", "shared", "--stdio", &server];
    let mut child = heard(&[&breaker[..], &shared].concat());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let try_line = lines.find_map(|line| line.unwrap().strip_prefix("try:   ").map(str::to_owned));
    let at = try_line.unwrap();
    let at = at
        .split("http://")
        .nth(1)
        .unwrap()
        .split('/')
        .next()
        .unwrap();
    let client = Client::new(at.parse().unwrap());
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let running = Running(child);
    const SAID: [&str; 2] = ["is left alone", "answers again"];
    for (call, says) in ["die", "echo"].into_iter().zip(SAID) {
        let read = tokio::task::spawn_blocking(move || {
            let is_said = |line: &String| SAID.iter().any(|said| line.contains(said));
            let told = log.find(|line| line.as_ref().is_ok_and(is_said));
            (told, log)
        });
        let begun = std::time::Instant::now();
        while !read.is_finished() {
            assert!(begun.elapsed() < PATIENCE, "it is not said");
            // The first time is enough to open it, and one that is let in to close it.
            client.call(1, call, serde_json::json!({})).await;
        }
        let (told, rest) = read.await.unwrap();
        let told = told.unwrap().unwrap();
        assert!(
            told.contains(says) && told.contains("upstream{name="),
            "{told}"
        );
        log = rest;
    }
    drop(running);
}
