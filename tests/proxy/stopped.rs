//! A proxy that does not run for a while, as on a machine that sleeps or has better things to do.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::time::sleep;

use crate::client::Client;
use crate::configuration::{ANY, File, scripted};
use crate::fixture::stats;
use crate::running::Running;

/// Longer than a child may leave a question unanswered.
const STOP: Duration = Duration::from_millis(1200);

#[tokio::test]
async fn a_child_is_not_charged_for_the_time_in_which_the_proxy_was_stopped() {
    let impatient = "mode = \"shared\"\nmax_connections = 1\nprobe_interval = \"100ms\"\nprobe_patience = \"1s\"";
    let text = format!("{ANY}{}", scripted("stopped", "/mcp", impatient));
    let file = File::new("stopped", &text);
    let mut running = Running::serving(&file);
    let client = Client::new(running.address("listening on").await);
    let admin = running.address("admin:").await;
    let pid = client.call(1, "pid", json!({})).await.text();
    let child = Pid::from_raw(pid.parse().unwrap()).unwrap();
    kill_process(child, Signal::STOP).unwrap();
    // The first one has it asked, the others would be a question without an answer each.
    for _ in 0..3 {
        running.signal(Signal::STOP);
        sleep(STOP).await; // what this is about
        running.signal(Signal::CONT);
        // It runs again, and looks after its child.
        stats(admin).await;
        sleep(Duration::from_millis(150)).await;
    }
    kill_process(child, Signal::CONT).unwrap();
    let answered = client.call(2, "pid", json!({})).await;
    assert_eq!(answered.text(), pid);
    assert_eq!(stats(admin).await["upstream"]["ejected"], 0);
}
