//! The configuration file: what is said of one with mistakes, and several upstreams from one without.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use plunge::proxy::{Config, Server};
use serde_json::json;

use crate::client::{Client, initialize, request, tool};
use crate::fixture::{eventually, marker, processes, python, stats};

/// A file that is gone after the test.
pub struct File(pub PathBuf);

impl File {
    pub fn new(test: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{}.toml", marker(test)));
        fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// An upstream whose children are the script of these tests.
pub fn scripted(name: &str, path: &str, more: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proxy/child.py");
    format!(
        "[[upstream]]\nname = \"{name}\"\nkind = \"mcp-stdio\"\npath = \"{path}\"\n\
         command = [{:?}, {script:?}, {:?}]\nconnect_timeout = \"10s\"\n{more}\n",
        python(),
        marker(name),
    )
}

pub const ANY: &str = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n";

fn plunge(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plunge"));
    command.args(args).stdin(Stdio::null()).output().unwrap()
}

const TEN: &str = r#"listen = "here"
admin = 8809
drian = "5s"
[log]
level = "loud"
[[upstream]]
name = "a b"
kind = "mcp-stdio"
command = "no-such-program"
max_connections = 0
request_timeout = "soon"
[[upstream]]
name = "b"
kind = "mcp-http"
url = "localhost:3000"
mode = "sharde"
"#;

#[test]
fn ten_mistakes_are_ten_lines_with_line_and_column_and_nothing_is_started() {
    let file = File::new("ten", TEN);
    let path = file.0.to_str().unwrap();
    let places = [
        "1:10", "2:9", "3:1", "5:9", "7:8", "9:11", "10:19", "11:19", "12:1", "15:7", "16:8",
    ];
    for args in [["check", path].as_slice(), &["serve", "--config", path]] {
        let output = plunge(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty());
        let text = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        // Eleven: the second upstream has the path of the first, too.
        assert_eq!(lines.len(), places.len(), "{text}");
        for (line, place) in lines.iter().zip(places) {
            assert!(
                line.starts_with(&format!("{path}:{place}: ")),
                "{place}: {line}"
            );
        }
    }
}

#[test]
fn the_example_that_is_printed_passes_the_check() {
    let example = plunge(&["config", "--example"]);
    assert!(example.status.success());
    let text = String::from_utf8(example.stdout).unwrap();
    assert_eq!(text, Config::example());
    let file = File::new("example", &text);
    let checked = plunge(&["check", file.0.to_str().unwrap()]);
    assert!(checked.status.success(), "{checked:?}");
    assert!(
        String::from_utf8(checked.stdout)
            .unwrap()
            .contains("no mistakes, 3 upstreams")
    );
}

#[test]
fn the_check_counts_upstreams_of_plain_http_too() {
    let text = "[[upstream]]\nname = \"site\"\nkind = \"http\"\nurl = \"http://127.0.0.1:3000\"\n";
    let file = File::new("plain", text);
    let checked = plunge(&["check", file.0.to_str().unwrap()]);
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(said.ends_with("no mistakes, 1 upstream\n"), "{said}");
}

#[test]
fn a_file_that_is_not_there_is_refused_with_what_to_do() {
    for args in [
        ["check", "no-such.toml"].as_slice(),
        &["serve", "--config", "no-such.toml"],
    ] {
        let output = plunge(args);
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            text.contains("no-such.toml") && text.contains("config --example"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[tokio::test]
async fn several_upstreams_are_served_side_by_side_on_one_listener() {
    let text = format!(
        "{ANY}{}{}{}",
        scripted("side-one", "/mcp", ""),
        scripted("side-two", "/two", "mode = \"shared\""),
        scripted(
            "side-three",
            "/mcp",
            "host = \"three.example\"\nmode = \"shared\""
        ),
    );
    let server = Server::open(Config::parse(&text).unwrap()).await.unwrap();
    let client = Client::new(server.mcp_address());
    let session = client.begin().await;
    assert_eq!(
        session
            .call(1, "echo", json!({"message": "x"}))
            .await
            .status,
        200
    );
    let two = client
        .at("/two")
        .call(2, "echo", json!({"message": "y"}))
        .await;
    assert_eq!(two.status, 200, "{two:?}");
    let refused = client.post(&tool(3, "echo", json!({}))).await;
    assert_eq!(
        refused.kind(),
        "bad_header",
        "the first upstream needs a session"
    );
    let named = client.with("host", "three.example");
    assert_eq!(
        named
            .post(&request(4, "tools/list", json!({})))
            .await
            .status,
        200
    );
    let nowhere = client.at("/three").post(&initialize("2025-11-25")).await;
    assert!(
        nowhere.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("/mcp, /two")
    );
    let figures = stats(server.admin_address()).await;
    served_three(&figures);
    server.shutdown(std::time::Duration::from_secs(10)).await;
    for name in ["side-one", "side-two", "side-three"] {
        eventually("no child is left", || processes(&marker(name)).is_empty()).await;
    }
}

fn served_three(figures: &serde_json::Value) {
    let upstreams = figures["upstreams"].as_array().unwrap();
    let requests: Vec<_> = upstreams
        .iter()
        .map(|upstream| {
            (
                upstream["name"].as_str().unwrap(),
                upstream["requests"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        requests
            .iter()
            .find(|(name, _)| *name == "side-two")
            .unwrap()
            .1,
        1
    );
    assert_eq!(requests.len(), 3);
}
