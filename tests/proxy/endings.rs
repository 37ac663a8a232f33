//! Shutdown and drop: nothing is left.

use std::future::Future;
use std::time::Duration;

use plunge::proxy::Mode;
use serde_json::json;

use crate::client::tool;
use crate::fixture::{
    PATIENCE, descriptors, eventually, in_flight, marker, options, processes, script, start_with,
};

/// Runs the body in a process of its own, so that no other test's descriptors are counted.
fn alone<F: Future<Output = ()>>(test: &str, body: impl FnOnce() -> F) {
    if std::env::var_os("PLUNGE_ALONE").is_none() {
        let own = std::env::current_exe().unwrap();
        let run = std::process::Command::new(own)
            .args(["--exact", test, "--test-threads=1", "--nocapture"])
            .env("PLUNGE_ALONE", "1")
            .output();
        let run = run.unwrap();
        assert!(
            run.status.success(),
            "{}{}",
            String::from_utf8_lossy(&run.stdout),
            String::from_utf8_lossy(&run.stderr)
        );
        return;
    }
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(body());
}

async fn use_it(mode: Mode, mark: &str) -> plunge::proxy::Server {
    let mut options = options(script(mark, &[]), mode);
    options.min_idle = 2.min(options.children());
    let (server, client) = start_with(options).await;
    let (session, other) = (client.begin().await, client.begin().await);
    session.call(1, "echo", json!({})).await;
    // Left open on purpose: a stream, a request that is never answered, a session without an end.
    let stream = other.listen().await;
    tokio::spawn(async move {
        let mut stream = stream;
        while stream.next().await.is_some() {}
    });
    tokio::spawn(async move { other.call(2, "sleep", json!({"ms": 3_600_000})).await });
    in_flight(&server, 1).await;
    assert!(!processes(mark).is_empty());
    server
}

async fn nothing_is_left(test: &str, end: impl AsyncFn(plunge::proxy::Server)) {
    for mode in [Mode::Session, Mode::Shared] {
        let mark = marker(test);
        let tasks = || {
            tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks()
        };
        end(use_it(mode, &mark).await).await;
        eventually("no child is left", || processes(&mark).is_empty()).await;
        eventually("no task is left", || tasks() == 0).await;
        let before = descriptors(std::process::id());
        for _ in 0..2 {
            end(use_it(mode, &mark).await).await;
        }
        eventually("no child is left", || processes(&mark).is_empty()).await;
        eventually("no task is left", || tasks() == 0).await;
        eventually("no descriptor is left", || {
            descriptors(std::process::id()) <= before
        })
        .await;
    }
}

#[test]
fn a_shutdown_leaves_no_process_no_task_and_no_descriptor() {
    alone(
        "endings::a_shutdown_leaves_no_process_no_task_and_no_descriptor",
        || {
            nothing_is_left("shutdown", async |server| {
                let report = server.shutdown(Duration::from_secs(2)).await;
                assert!(report.pool.is_clean(), "{report:?}");
            })
        },
    );
}

#[test]
fn a_dropped_server_leaves_no_process_no_task_and_no_descriptor() {
    alone(
        "endings::a_dropped_server_leaves_no_process_no_task_and_no_descriptor",
        || nothing_is_left("drop", async |server| drop(server)),
    );
}

#[tokio::test]
async fn a_shutdown_lets_requests_end_and_takes_no_new_ones() {
    let (server, client) = start_with(options(script("plunge-test", &[]), Mode::Session)).await;
    let session = client.begin().await;
    let mut stream = session.listen().await;
    stream.next().await.unwrap();
    let (address, slow) = (server.mcp_address(), tool(1, "sleep", json!({"ms": 300})));
    let waiting = tokio::spawn(async move { session.post(&slow).await });
    in_flight(&server, 1).await;
    let ended = tokio::spawn(server.shutdown(PATIENCE));
    assert!(
        stream.next().await.is_none(),
        "the session's stream ends at once"
    );
    let reply = waiting.await.unwrap();
    assert_eq!(
        (reply.status.as_u16(), reply.text().as_str()),
        (200, "slept")
    );
    assert_eq!(ended.await.unwrap().cut, 0);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn children_that_ignore_the_end_of_their_input_and_sigterm_are_killed() {
    let mark = marker("stubborn");
    let stubborn = "import signal,sys,time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nfor line in sys.stdin: pass\nwhile True: time.sleep(60)";
    let command = plunge::transport::Command::new("python3").args(["-c", stubborn, &mark]);
    let command = command
        .eof_grace(Duration::from_millis(100))
        .term_grace(Duration::from_millis(100));
    let (server, _client) = start_with(options(command, Mode::Session)).await;
    eventually("the child runs", || !processes(&mark).is_empty()).await;
    server.shutdown(Duration::from_secs(5)).await;
    eventually("no child is left", || processes(&mark).is_empty()).await;
}

#[tokio::test]
async fn a_request_that_comes_too_late_is_refused_with_its_id() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (server, _client) = start_with(options(script("plunge-test", &[]), Mode::Shared)).await;
    let address = server.mcp_address();
    let body = tool("late", "echo", json!({})).to_string();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\naccept: application/json\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let connect = async || tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut idle, mut late) = (connect().await, connect().await);
    let mut reply = [0; 4096];
    idle.write_all(format!("{head}{body}").as_bytes())
        .await
        .unwrap();
    assert!(idle.read(&mut reply).await.unwrap() > 0);
    late.write_all(format!("{head}{}", &body[..10]).as_bytes())
        .await
        .unwrap();
    let ended = tokio::spawn(server.shutdown(PATIENCE));
    // Idle connections are closed once nothing more is taken.
    let closed = tokio::time::timeout(PATIENCE, idle.read(&mut reply)).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))));
    late.write_all(&body.as_bytes()[10..]).await.unwrap();
    let mut said = String::new();
    late.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 503"), "{said}");
    let answer: serde_json::Value =
        serde_json::from_str(said.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(
        (&answer["id"], &answer["error"]["data"]["kind"]),
        (&json!("late"), &json!("closing"))
    );
    ended.await.unwrap();
}
