//! The command under signals, with calls under way or children that still start: nothing of them is left.

use std::os::fd::OwnedFd;

use plunge::proxy::Mode;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::task::JoinSet;

use crate::client::{Client, Events, initialize, tool};
use crate::configuration::File;
use crate::fixture::{MODES, PATIENCE, eventually, marker, processes, python};
use crate::running::Running;

/// Deaf to SIGTERM, as is what it starts; becomes the scripted child, or says nothing.
const DEAF: &str = r#"
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)", sys.argv[-1]])
if sys.argv[1] == "mute":
    time.sleep(3600)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"#;

/// As it is written on command lines.
fn name(mode: Mode) -> String {
    format!("{mode:?}").to_lowercase()
}

/// A configuration with deaf children.
fn deaf(mark: &str, mode: Mode, is_mute: bool, more: &str) -> File {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proxy/child.py");
    let script = if is_mute { "mute" } else { script };
    let command = json!([python(), "-c", DEAF, script, mark]);
    let (any, mode) = (crate::configuration::ANY, name(mode));
    let text = format!(
        "{any}{more}[[upstream]]\nname = \"deaf\"\nkind = \"mcp-stdio\"\nmode = \"{mode}\"\n\
         path = \"/mcp\"\ncommand = {command}\nconnect_timeout = \"10m\"\n"
    );
    File::new(mark, &text)
}

/// Processes, by handles that tell of their end.
struct Held(Vec<OwnedFd>);

impl Held {
    fn of(mark: &str) -> Self {
        let pids = processes(mark).into_iter();
        let open = |pid| pidfd_open(Pid::from_raw(pid as i32)?, PidfdFlags::empty()).ok();
        Self(pids.filter_map(open).collect())
    }

    /// Waits for the end of each, and looks for others.
    async fn are_gone(self, mark: &str) {
        let wait = move || {
            let patience = PATIENCE.try_into().unwrap();
            for handle in &self.0 {
                let mut ended = [PollFd::new(handle, PollFlags::IN)];
                assert_eq!(poll(&mut ended, Some(&patience)), Ok(1), "a process ends");
            }
        };
        tokio::task::spawn_blocking(wait).await.unwrap();
        eventually("none was started meanwhile", || processes(mark).is_empty()).await;
    }
}

/// A call that tells once that it is under way, and is never answered.
fn endless() -> Value {
    lasting(3_600_000)
}

/// The same, answered after so many milliseconds.
fn lasting(ms: u64) -> Value {
    let mut call = tool(1, "sleep", json!({"ms": ms}));
    call["params"]["_meta"] = json!({"progressToken": 1});
    call
}

/// Serves deaf children, with a call under way.
async fn serving(file: &File, mode: Mode) -> (Running, Events) {
    let mut running = Running::serving(file);
    let mut client = Client::new(running.address("listening on").await);
    if mode == Mode::Session {
        client = client.begin().await;
    }
    let mut events = client.stream(&endless()).await;
    let told = events.next().await.unwrap();
    assert_eq!(told["method"], "notifications/progress");
    (running, events)
}

/// The same for `plunge forward`, whose input stays open.
async fn forwarding(mark: &str, mode: Mode) -> (Running, ChildStdin) {
    forwarding_call(mark, mode, 3_600_000).await
}

/// The same with a call that is answered after so many milliseconds.
async fn forwarding_call(mark: &str, mode: Mode, ms: u64) -> (Running, ChildStdin) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proxy/child.py");
    let command = format!("{} -c '{DEAF}' {script} {mark}", python());
    let mode_name = name(mode);
    let patient = ["--connect-timeout", "10m"];
    let args = ["forward", "--mode", &mode_name, "--stdio", &command];
    let mut running = Running::new(&[&args[..], &patient].concat());
    let mut input = running.child.stdin.take().unwrap();
    let begin = initialize("2025-11-25");
    // Where each message has a process of its own, one for this is none for the call.
    if mode != Mode::Oneshot {
        input
            .write_all(format!("{begin}\n").as_bytes())
            .await
            .unwrap();
        running.line("serverInfo").await;
    }
    let call = lasting(ms);
    input
        .write_all(format!("{call}\n").as_bytes())
        .await
        .unwrap();
    running.line("notifications/progress").await;
    (running, input)
}

/// It gets these signals, each once it took the one before, and ends with this code; none of the processes that it had
/// is left. Returns what it said until then.
async fn ends_by(
    signals: &[Signal],
    mut running: Running,
    mark: &str,
    code: Option<i32>,
) -> String {
    let held = Held::of(mark);
    assert!(held.0.len() >= 2, "a child and what it started: {mark}");
    let (first, more) = signals.split_first().unwrap();
    running.signal(*first);
    for signal in more {
        running.log("a second signal ends at once").await;
        running.signal(*signal);
    }
    let said = running.rest().await;
    assert_eq!(running.end().await, code, "{mark}");
    held.are_gone(mark).await;
    said
}

/// Each mode beside the others: what is deaf has its time.
async fn in_all<F: Future<Output = ()> + Send + 'static>(modes: &[Mode], so: impl Fn(Mode) -> F) {
    let mut all: JoinSet<()> = modes.iter().map(|mode| so(*mode)).collect();
    while let Some(one) = all.join_next().await {
        one.unwrap();
    }
}

#[tokio::test]
async fn a_killed_proxy_takes_along_what_its_calls_are_with() {
    in_all(&MODES, |mode| async move {
        let mark = marker(&format!("killed-{mode:?}"));
        let file = deaf(&mark, mode, false, "");
        let (running, _events) = serving(&file, mode).await;
        ends_by(&[Signal::KILL], running, &mark, None).await;
    })
    .await;
}

#[tokio::test]
async fn a_killed_forward_takes_along_what_its_calls_are_with() {
    in_all(&MODES, |mode| async move {
        let mark = marker(&format!("killed-forward-{mode:?}"));
        let (running, _input) = forwarding(&mark, mode).await;
        ends_by(&[Signal::KILL], running, &mark, None).await;
    })
    .await;
}

#[tokio::test]
async fn sigterm_ends_deaf_children_with_what_they_started() {
    in_all(&MODES, |mode| async move {
        let mark = marker(&format!("deaf-{mode:?}"));
        let file = deaf(&mark, mode, false, "drain = \"400ms\"\n");
        let (running, _events) = serving(&file, mode).await;
        ends_by(&[Signal::TERM], running, &mark, Some(0)).await;
    })
    .await;
}

#[tokio::test]
async fn sigterm_ends_a_forward_and_its_deaf_children_with_what_they_started() {
    in_all(&MODES, |mode| async move {
        let mark = marker(&format!("deaf-forward-{mode:?}"));
        let (running, _input) = forwarding(&mark, mode).await;
        let said = ends_by(&[Signal::TERM], running, &mark, Some(0)).await;
        let cut: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(cut["id"], 1, "{mode:?}: {cut}");
        assert!(cut["error"].is_object(), "{mode:?}: {cut}");
    })
    .await;
}

#[tokio::test]
async fn sigterm_lets_a_forward_answer_what_is_under_way_and_read_nothing_more() {
    in_all(&MODES, |mode| async move {
        let mark = marker(&format!("drained-{mode:?}"));
        let (mut running, mut input) = forwarding_call(&mark, mode, 500).await;
        running.signal(Signal::TERM);
        running.log("a second signal ends at once").await;
        // It may be gone already.
        let late = format!("{}\n", tool(2, "echo", json!({})));
        let _ = input.write_all(late.as_bytes()).await;
        let answer: Value = serde_json::from_str(&running.line("result").await).unwrap();
        assert_eq!(answer["id"], 1, "{mode:?}: {answer}");
        assert_eq!(running.lines.next_line().await.unwrap(), None, "{mode:?}");
        assert_eq!(running.end().await, Some(0), "{mode:?}");
        eventually("no process is left", || processes(&mark).is_empty()).await;
    })
    .await;
}

#[tokio::test]
async fn a_second_sigterm_does_not_wait_for_the_calls_of_a_forward() {
    in_all(&MODES, |mode| async move {
        let mark = marker(&format!("second-forward-{mode:?}"));
        let (running, _input) = forwarding(&mark, mode).await;
        let said = ends_by(&[Signal::TERM; 2], running, &mark, Some(0)).await;
        assert_eq!(said, "", "{mode:?}: not even the fault of its call");
    })
    .await;
}

#[tokio::test]
async fn sigterm_ends_what_still_starts() {
    let modes = [Mode::Exclusive, Mode::Shared, Mode::Stateless];
    in_all(&modes, |mode| async move {
        let mark = marker(&format!("starting-{mode:?}"));
        let file = deaf(&mark, mode, true, "drain = \"400ms\"\n");
        let running = Running::serving(&file);
        eventually("a child and what it started", || {
            processes(&mark).len() >= 2
        })
        .await;
        ends_by(&[Signal::TERM], running, &mark, Some(0)).await;
    })
    .await;
}

#[tokio::test]
async fn a_second_sigterm_does_not_wait_for_calls() {
    in_all(&MODES, |mode| async move {
        let mark = marker(&format!("second-{mode:?}"));
        let file = deaf(&mark, mode, false, "drain = \"1h\"\n");
        let (running, _events) = serving(&file, mode).await;
        ends_by(&[Signal::TERM; 2], running, &mark, Some(0)).await;
    })
    .await;
}
