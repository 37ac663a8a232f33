//! The configuration, changed while it is served.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use plunge::proxy::{Config, Server};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::client::{Client, tool};
use crate::configuration::{ANY, File, scripted};
use crate::fixture::{PATIENCE, eventually, figures, marker, processes, stats};
use crate::side_by_side::{get, http, plain};

fn config(text: &str) -> Config {
    Config::parse(text).expect("no mistakes")
}

async fn upstream(server: &Server, name: &str) -> Value {
    let figures = stats(server.admin_address()).await;
    let upstreams = figures["upstreams"].as_array().unwrap().iter();
    upstreams
        .into_iter()
        .find(|upstream| upstream["name"] == name)
        .cloned()
        .unwrap_or_default()
}

#[tokio::test]
async fn what_did_not_change_keeps_its_children_and_sessions() {
    let kept = scripted("kept", "/mcp", "");
    let server = Server::open(config(&format!("{ANY}{kept}"))).await.unwrap();
    let client = Client::new(server.mcp_address()).begin().await;
    let before = processes(&marker("kept"));
    let more = scripted("more", "/more", "mode = \"shared\"");
    let done = server
        .reload(config(&format!("{ANY}{kept}{more}")))
        .await
        .unwrap();
    assert_eq!((done.kept, done.started, done.drained), (1, 1, 0));
    assert_eq!(
        client.call(1, "echo", json!({})).await.status,
        200,
        "the session lives on"
    );
    let now = processes(&marker("kept"));
    assert!(
        before.iter().all(|pid| now.contains(pid)),
        "{before:?} {now:?}"
    );
    let other = Client::new(server.mcp_address()).at("/more");
    assert_eq!(other.call(2, "echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn limits_are_changed_under_a_session_in_both_directions() {
    let of = |more: &str| config(&format!("{ANY}{}", scripted("tuned", "/mcp", more)));
    let server = Server::open(of("max_connections = 2\nmin_idle = 1"))
        .await
        .unwrap();
    let client = Client::new(server.mcp_address());
    let session = client.begin().await;
    let done = server
        .reload(of("max_connections = 5\nmin_idle = 3"))
        .await
        .unwrap();
    assert_eq!((done.tuned, done.started), (1, 0));
    eventually("three idle beside the session's", || {
        processes(&marker("tuned")).len() == 4
    })
    .await;
    assert_eq!(
        upstream(&server, "tuned").await["pool"]["max_connections"],
        5
    );
    assert_eq!(session.call(1, "echo", json!({})).await.status, 200);
    server
        .reload(of("max_connections = 1\nmin_idle = 0"))
        .await
        .unwrap();
    eventually("only the session's is left", || {
        processes(&marker("tuned")).len() == 1
    })
    .await;
    assert_eq!(session.call(2, "echo", json!({})).await.status, 200);
    let refused = client.post(&crate::client::initialize("2025-11-25")).await;
    assert_eq!(refused.kind(), "busy");
}

#[tokio::test]
async fn shared_children_are_let_go_when_the_limit_falls() {
    let of = |most: u32| {
        let more = format!("mode = \"shared\"\nmax_connections = {most}\nmin_idle = {most}");
        config(&format!("{ANY}{}", scripted("shed", "/mcp", &more)))
    };
    let server = Server::open(of(3)).await.unwrap();
    eventually("three serve", || processes(&marker("shed")).len() == 3).await;
    server.reload(of(1)).await.unwrap();
    eventually("one serves", || processes(&marker("shed")).len() == 1).await;
    let client = Client::new(server.mcp_address());
    assert_eq!(client.call(1, "echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn children_of_one_request_are_started_and_let_go_as_their_limit_says() {
    let of = |most: u32, kept: u32| {
        let more = format!("mode = \"exclusive\"\nmax_connections = {most}\nmin_idle = {kept}");
        config(&format!("{ANY}{}", scripted("leased", "/mcp", &more)))
    };
    let run = async |count: usize| {
        let what = format!("{count} run");
        eventually(&what, || processes(&marker("leased")).len() == count).await;
    };
    let server = Server::open(of(1, 1)).await.unwrap();
    let client = Client::new(server.mcp_address());
    let sleeping = client.start(tool(1, "sleep", json!({"ms": 1000})));
    crate::fixture::in_flight(&server, 1).await;
    // In a line of its own, of another revision.
    let waiting = tokio::spawn(async move { client.begin_at("2025-03-26").await });
    figures(&server, "it waits", |all| all["pool"]["waiting"] == 1).await;
    server.reload(of(2, 1)).await.unwrap();
    let session = waiting.await.unwrap();
    assert!(!sleeping.is_finished(), "it was served beside that");
    server.reload(of(4, 3)).await.unwrap();
    assert_eq!(sleeping.await.unwrap().status, 200);
    run(4).await;
    server.reload(of(1, 1)).await.unwrap();
    run(1).await;
    assert_eq!(
        session.call(1, "revision", json!({})).await.text(),
        "2025-03-26"
    );
    let pool = &upstream(&server, "leased").await["pool"];
    assert_eq!(
        (&pool["max_connections"], &pool["open"]),
        (&json!(1), &json!(1))
    );
}

#[tokio::test]
async fn a_raised_limit_of_requests_serves_who_waits_on_the_child_that_runs() {
    let of = |most: u32| {
        let more = format!("mode = \"shared\"\nmax_connections = 1\nmax_in_flight = {most}");
        config(&format!("{ANY}{}", scripted("fuller", "/mcp", &more)))
    };
    let server = Server::open(of(1)).await.unwrap();
    let client = Client::new(server.mcp_address());
    let call = |id: u32, name: &'static str| {
        let client = client.clone();
        tokio::spawn(async move { client.call(id, name, json!({})).await.status })
    };
    let hanging = call(1, "hang");
    crate::fixture::in_flight(&server, 1).await;
    let waiting = call(2, "echo");
    server.reload(of(2)).await.unwrap();
    assert_eq!(waiting.await.unwrap(), 200);
    assert_eq!(call(3, "echo").await.unwrap(), 200);
    hanging.abort();
}

#[tokio::test]
async fn a_request_ends_where_it_began_and_what_was_removed_is_gone_after_it() {
    let keep = scripted("stays", "/stays", "mode = \"shared\"");
    let gone = scripted("goes", "/mcp", "mode = \"shared\"");
    let server = Server::open(config(&format!("{ANY}{keep}{gone}")))
        .await
        .unwrap();
    let client = Client::new(server.mcp_address());
    let slow = client.start(tool(1, "sleep", json!({"ms": 1000})));
    let begun = std::time::Instant::now();
    while upstream(&server, "goes").await["in_flight"] != 1 {
        assert!(begun.elapsed() < PATIENCE);
    }
    let done = server
        .reload(config(&format!("{ANY}{keep}")))
        .await
        .unwrap();
    assert_eq!((done.kept, done.drained), (1, 1));
    assert_eq!(
        client.call(2, "echo", json!({})).await.kind(),
        "no_such_path"
    );
    assert!(
        !processes(&marker("goes")).is_empty(),
        "it still serves what it has"
    );
    let reply = slow.await.unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
    eventually("its children end", || processes(&marker("goes")).is_empty()).await;
}

#[tokio::test]
async fn a_session_stays_with_the_children_that_it_began_on() {
    let of = |flag: &str| {
        let text = scripted("turned", "/mcp", "");
        let text = text.replace(
            "command = [",
            &format!("env = {{ TURN = \"{flag}\" }}\ncommand = ["),
        );
        config(&format!("drain = \"60s\"\n{ANY}{text}"))
    };
    let server = Server::open(of("one")).await.unwrap();
    let client = Client::new(server.mcp_address());
    let old = client.begin().await;
    let before = upstream(&server, "turned").await["children"][0]["pid"].clone();
    let done = server.reload(of("two")).await.unwrap();
    assert_eq!((done.started, done.drained), (1, 1));
    assert_eq!(old.call(1, "echo", json!({})).await.status, 200);
    let new = client.begin().await;
    let figures = upstream(&server, "turned").await;
    assert_eq!(figures["elders"], 1);
    assert_ne!(figures["children"][0]["pid"], before);
    assert_eq!(new.call(2, "echo", json!({})).await.status, 200);
    assert_eq!(old.call(3, "echo", json!({})).await.status, 200);
    let pid = before.as_u64().unwrap() as u32;
    assert_eq!(old.send(hyper::Method::DELETE, "").await.status, 200);
    eventually("the old child ends with its session", || {
        !processes(&marker("turned")).contains(&pid)
    })
    .await;
}

#[tokio::test]
async fn a_reload_that_does_not_start_changes_nothing() {
    let good = scripted("good", "/mcp", "mode = \"shared\"\nmax_connections = 1");
    let server = Server::open(config(&format!("{ANY}{good}"))).await.unwrap();
    let bad = "[[upstream]]\nname = \"bad\"\nkind = \"mcp-stdio\"\npath = \"/bad\"\ncommand = \"false\"\nmode = \"shared\"\nconnect_timeout = \"2s\"\n";
    let other = good.replace("max_connections = 1", "max_connections = 7");
    let wrong = server
        .reload(config(&format!("{ANY}{other}{bad}")))
        .await
        .unwrap_err();
    assert!(
        wrong.len() == 1 && wrong[0].contains("`bad` does not start"),
        "{wrong:?}"
    );
    let figures = stats(server.admin_address()).await;
    assert_eq!(figures["upstreams"].as_array().unwrap().len(), 1);
    assert_eq!(figures["upstreams"][0]["pool"]["max_connections"], 1);
    assert_eq!(figures["reloads"]["failed"], 1);
    assert!(
        figures["reloads"]["mistakes"][0]
            .as_str()
            .unwrap()
            .contains("bad")
    );
    let client = Client::new(server.mcp_address());
    assert_eq!(client.call(1, "echo", json!({})).await.status, 200);
    server
        .reload(config(&format!("{ANY}{other}")))
        .await
        .unwrap();
    let figures = stats(server.admin_address()).await;
    assert_eq!(
        figures["reloads"]["mistakes"],
        json!([]),
        "the next one that works clears it"
    );
}

#[tokio::test]
async fn plain_http_that_is_taken_out_of_the_file_is_served_no_more() {
    let mcp = scripted("mcp-left", "/mcp", "mode = \"shared\"");
    let site = http("site", "/", plain("hello").await);
    let listen = "[http]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n";
    let server = Server::open(config(&format!("{ANY}{listen}{mcp}{site}")))
        .await
        .unwrap();
    let address = server.http_address().unwrap();
    assert_eq!(get(address, "/").await, (200, "hello".into()));
    let done = server.reload(config(&format!("{ANY}{mcp}"))).await.unwrap();
    assert_eq!(get(address, "/").await.0, 404);
    assert_eq!(done.later, ["http.listen, where every request is 404 now,"]);
    let figures = stats(server.admin_address()).await;
    assert_eq!(figures["upstreams"].as_array().unwrap().len(), 1);
    let back = format!("{ANY}{listen}{mcp}{site}");
    let done = server.reload(config(&back)).await.unwrap();
    assert!(done.later.is_empty(), "{done:?}");
    assert_eq!(get(address, "/").await, (200, "hello".into()));
}

#[tokio::test]
async fn what_plain_http_cannot_take_over_is_a_mistake_and_changes_nothing() {
    let mcp = scripted("mcp-kept", "/mcp", "mode = \"shared\"\nmax_connections = 1");
    let site = http("site", "/", plain("hello").await);
    let server = Server::open(config(&format!("{ANY}{mcp}{site}")))
        .await
        .unwrap();
    let other = mcp.replace("max_connections = 1", "max_connections = 3");
    let mut wrong = config(&format!("{ANY}{other}{site}"));
    wrong.web.as_mut().unwrap().client_idle = Duration::ZERO;
    let mistakes = server.reload(wrong).await.unwrap_err();
    assert!(
        mistakes.len() == 1 && mistakes[0].contains("client_idle"),
        "{mistakes:?}"
    );
    let itself = http("site", "/", server.mcp_address());
    let circle = server
        .reload(config(&format!("{ANY}{other}{itself}")))
        .await;
    let mistakes = circle.unwrap_err();
    assert!(mistakes[0].contains("in a circle"), "{mistakes:?}");
    let figures = stats(server.admin_address()).await;
    assert_eq!(figures["upstreams"][0]["pool"]["max_connections"], 1);
    assert_eq!(
        (
            &figures["reloads"]["failed"],
            &figures["reloads"]["mistakes"]
        ),
        (&json!(2), &json!(mistakes))
    );
}

#[tokio::test]
async fn no_request_is_dropped_by_reloads_of_every_kind() {
    let of = |turn: u32| {
        let more = format!(
            "mode = \"shared\"\nmin_idle = 1\nmax_connections = {}",
            1 + turn % 2
        );
        let text = scripted("busy", "/mcp", &more);
        let turned = format!("env = {{ TURN = \"{}\" }}\ncommand = [", turn / 2);
        config(&format!("{ANY}{}", text.replace("command = [", &turned)))
    };
    let server = Server::open(of(0)).await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let callers: Vec<_> = (0..4)
        .map(|number| {
            let (client, stopped) = (Client::new(server.mcp_address()), stopped.clone());
            tokio::spawn(async move {
                let mut calls = 0;
                while !*stopped.borrow() {
                    let reply = client.call(number, "echo", json!({"message": "x"})).await;
                    assert_eq!(reply.status, 200, "{reply:?}");
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    for turn in 1..8 {
        server.reload(of(turn)).await.unwrap();
    }
    stop.send(true).unwrap();
    for caller in callers {
        assert!(caller.await.unwrap() > 0);
    }
    assert!(server.shutdown(Duration::from_secs(10)).await.cut == 0);
    eventually("no child is left", || processes(&marker("busy")).is_empty()).await;
}

/// A proxy that serves a file; killed if the test fails.
struct Served(Child, String);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(file: &File) -> Served {
    use std::io::{BufRead, BufReader};
    let mut child = Command::new(env!("CARGO_BIN_EXE_plunge"))
        .args(["serve", "--config", file.0.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let admin = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("admin: http://").map(str::to_owned));
    Served(child, admin.expect("it serves"))
}

#[tokio::test]
async fn the_command_takes_a_file_over_when_it_changes_and_on_a_hangup() {
    let one = scripted("file-one", "/mcp", "mode = \"shared\"");
    let two = scripted("file-two", "/two", "mode = \"shared\"");
    let file = File::new("reload", &format!("{ANY}{one}"));
    let served = serve(&file);
    let admin = served.1.trim_end_matches('/').parse().unwrap();
    let names = || async move {
        let figures = stats(admin).await;
        let upstreams = figures["upstreams"].as_array().unwrap().len();
        (upstreams, figures["reloads"].clone())
    };
    let until = |what: &'static str, wanted: fn(usize, &Value) -> bool| async move {
        let begun = std::time::Instant::now();
        loop {
            let (upstreams, reloads) = names().await;
            if wanted(upstreams, &reloads) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{what}: {upstreams} {reloads}");
        }
    };
    fs::write(&file.0, format!("{ANY}{one}{two}")).unwrap();
    until("the change is noticed", |upstreams, _| upstreams == 2).await;
    fs::write(
        &file.0,
        format!("{ANY}{one}nonsense = 3\nmin_idle = \"x\"\n"),
    )
    .unwrap();
    until("the mistakes are told", |upstreams, reloads| {
        upstreams == 2 && reloads["mistakes"].as_array().unwrap().len() == 2
    })
    .await;
    fs::write(&file.0, format!("{ANY}{one}")).unwrap();
    let pid = Pid::from_raw(served.0.id() as i32).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    until("the hangup is heard", |upstreams, reloads| {
        upstreams == 1 && reloads["mistakes"].as_array().unwrap().is_empty()
    })
    .await;
}
