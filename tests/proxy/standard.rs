//! `plunge forward` on the streams that a client gives it: a pipe, a socket, a file.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

const PING: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";
const PONG: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}";
/// `O_NONBLOCK`.
const NONBLOCKING: u32 = 0o4000;

/// A forwarding process; killed if the test fails.
struct Forward(Child);

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Forward {
    fn start(input: Stdio, output: Stdio) -> Self {
        let plunge = env!("CARGO_BIN_EXE_plunge");
        let child = Command::new(plunge)
            .args(["forward", "--mode", "shared", "--stdio"])
            .arg(format!("{plunge} demo-server"))
            .stdin(input)
            .stdout(output)
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Whether this standard stream was told not to wait, for whoever else has it.
    fn is_nonblocking(&self, stream: u32) -> bool {
        let told = fs::read_to_string(format!("/proc/{}/fdinfo/{stream}", self.0.id())).unwrap();
        let flags = told.lines().find_map(|line| line.strip_prefix("flags:"));
        u32::from_str_radix(flags.unwrap().trim(), 8).unwrap() & NONBLOCKING != 0
    }
}

/// A call that is answered on the streams, and what the streams are like meanwhile.
fn ask(forward: &Forward, input: &mut impl Write, output: &mut impl BufRead) {
    input.write_all(PING).unwrap();
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line.trim_end(), PONG);
    assert!(!forward.is_nonblocking(0) && !forward.is_nonblocking(1));
}

#[test]
fn pipes_are_served_and_left_as_they_are() {
    let mut forward = Forward::start(Stdio::piped(), Stdio::piped());
    let mut input = forward.0.stdin.take().unwrap();
    let mut output = BufReader::new(forward.0.stdout.take().unwrap());
    ask(&forward, &mut input, &mut output);
    ask(&forward, &mut input, &mut output);
    drop(input);
    assert!(forward.0.wait().unwrap().success());
}

#[test]
fn sockets_are_served_and_left_as_they_are() {
    let (mut client, server) = UnixStream::pair().unwrap();
    let output = server.try_clone().unwrap();
    let mut forward = Forward::start(OwnedFd::from(server).into(), OwnedFd::from(output).into());
    let mut answers = BufReader::new(client.try_clone().unwrap());
    ask(&forward, &mut client, &mut answers);
    // More than a socket holds, in both directions at once.
    let many = 20_000;
    let asking = client.try_clone().unwrap();
    let asked = std::thread::spawn(move || {
        let mut asking = asking;
        asking.write_all(&PING.repeat(many)).unwrap();
        asking.shutdown(Shutdown::Write).unwrap();
    });
    let answered = answers.lines().map(Result::unwrap);
    assert_eq!(answered.filter(|line| line == PONG).count(), many);
    asked.join().unwrap();
    assert!(forward.0.wait().unwrap().success());
}

#[test]
fn files_are_served_to_their_end() {
    let folder = std::env::temp_dir().join(format!("plunge-standard-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (asked, answered) = (folder.join("asked"), folder.join("answered"));
    fs::write(&asked, PING).unwrap();
    let input = File::open(&asked).unwrap();
    let output = File::create(&answered).unwrap();
    let mut forward = Forward::start(input.into(), output.into());
    assert!(forward.0.wait().unwrap().success());
    let mut said = String::new();
    File::open(&answered)
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(said.trim_end(), PONG);
    fs::remove_dir_all(&folder).unwrap();
}
