//! Official client libraries on real servers, through the command itself.
//!
//! `scripts/tools` fetches them and names them in the environment; without it these tests only say so.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use crate::command_line::{Running, serve};

/// The pages of a running proxy.
struct Proxy {
    _running: Running,
    mcp: String,
    admin: String,
}

fn proxy(mode: &str, server: &str) -> Proxy {
    before(&["--mode", mode, "--stdio", server])
}

fn before(upstream: &[&str]) -> Proxy {
    let limits = ["--min-idle", "2", "--connect-timeout", "30s"];
    let (running, lines) = serve(&[upstream, &limits[..]].concat());
    let after = |mark: &str| {
        lines
            .iter()
            .find_map(|line| Some(line.split_once(mark)?.1.split(' ').next()?.to_owned()))
            .unwrap()
    };
    Proxy {
        mcp: after("listening on "),
        admin: after("admin: "),
        _running: running,
    }
}

/// The values of these variables; `None`, and a line about it, if one is missing.
fn tools<const N: usize>(names: [&str; N]) -> Option<[String; N]> {
    let found = names.map(|name| std::env::var(name).unwrap_or_default());
    if found.iter().any(String::is_empty) {
        eprintln!("skipped: scripts/clients fetches the clients and the servers and runs this");
        return None;
    }
    Some(found)
}

fn script(name: &str) -> String {
    format!("{}/tests/clients/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Runs a client to its end, which has to be a good one; returns what it said.
fn run(program: &str, args: &[&str]) -> String {
    let run = Command::new(program).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    eprintln!("{said}");
    let complained = String::from_utf8_lossy(&run.stderr);
    assert!(
        run.status.success(),
        "{program} {args:?}: {said}\n{complained}"
    );
    said
}

#[test]
fn the_official_python_client_works_on_a_real_server() {
    let Some([python, server]) = tools(["PLUNGE_TEST_PYTHON", "PLUNGE_TEST_EVERYTHING"]) else {
        return;
    };
    let proxy = proxy("session", &format!("node '{server}' stdio"));
    let said = run(
        &python,
        &[&script("python_client.py"), &proxy.mcp, &proxy.admin],
    );
    assert!(said.ends_with("all seen\n"));
}

#[test]
fn the_official_python_client_of_both_eras_works_on_a_server_of_both() {
    let Some([python]) = tools(["PLUNGE_TEST_PYTHON2"]) else {
        return;
    };
    let server = format!("'{python}' '{}'", script("dual_server.py"));
    let table: [(&str, &[&str]); 3] = [
        ("session", &["legacy", "auto", "2026-07-28"]),
        ("stateless", &["auto", "2026-07-28"]),
        ("shared", &["legacy", "auto", "2026-07-28"]),
    ];
    for (mode, eras) in table {
        let proxy = proxy(mode, &server);
        for era in eras {
            run(&python, &[&script("dual_client.py"), &proxy.mcp, era]);
        }
    }
}

#[test]
fn the_official_typescript_clients_work_on_a_server_with_a_handshake() {
    let Some([packages, server]) = tools(["PLUNGE_TEST_NODE", "PLUNGE_TEST_EVERYTHING"]) else {
        return;
    };
    let table: [(&str, &[&str]); 2] = [
        ("session", &["v1", "v2-legacy", "v2-auto"]),
        ("shared", &["v1", "v2-auto", "v2-modern"]),
    ];
    for (mode, clients) in table {
        let proxy = proxy(mode, &format!("node '{server}' stdio"));
        for client in clients {
            run(
                "node",
                &[&script("official.mjs"), &packages, &proxy.mcp, client],
            );
        }
    }
}

/// A server that runs beside; killed at the end of the test.
struct Beside(Child);

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_official_typescript_clients_work_before_a_server_of_the_old_transport() {
    let Some([packages, server]) = tools(["PLUNGE_TEST_NODE", "PLUNGE_TEST_EVERYTHING"]) else {
        return;
    };
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr();
    let port = free.unwrap().port().to_string();
    let beside = Command::new("node")
        .args([&server, "sse"])
        .env("PORT", &port)
        .stdout(Stdio::null())
        .spawn();
    let _beside = Beside(beside.unwrap());
    for mode in ["session", "shared"] {
        let url = format!("http://127.0.0.1:{port}/sse");
        let proxy = before(&["--mode", mode, "--mcp-http", &url]);
        for client in ["v1", "v2-legacy", "v2-auto"] {
            let script = script("official.mjs");
            run("node", &[&script, &packages, &proxy.mcp, client]);
        }
    }
}

#[test]
fn the_inspector_works_in_every_era_and_over_both_transports() {
    let Some([packages, python]) = tools(["PLUNGE_TEST_NODE", "PLUNGE_TEST_PYTHON2"]) else {
        return;
    };
    let proxy = proxy(
        "session",
        &format!("'{python}' '{}'", script("dual_server.py")),
    );
    let inspector = format!("{packages}/node_modules/.bin/mcp-inspector");
    let old = proxy.mcp.replace("/mcp", "/sse");
    for (url, era) in [
        (&proxy.mcp, "legacy"),
        (&proxy.mcp, "modern"),
        (&proxy.mcp, "auto"),
        (&old, "legacy"),
    ] {
        let call = [
            "--method",
            "tools/call",
            "--tool-name",
            "echo",
            "--tool-arg",
            "message=hello",
        ];
        let said = run(
            &inspector,
            &[&["--cli", url, "--protocol-era", era], &call[..]].concat(),
        );
        assert!(said.contains("Echo: hello"), "{era} {said}");
    }
}

#[test]
fn the_official_rust_client_works_in_both_eras_before_children_and_before_a_server_over_http() {
    let Some([client]) = tools(["PLUNGE_TEST_RMCP"]) else {
        return;
    };
    let server = format!("'{}' demo-server", env!("CARGO_BIN_EXE_plunge"));
    let table: [(&str, &[&str]); 3] = [
        ("session", &["legacy"]),
        ("shared", &["legacy", "auto", "modern"]),
        ("exclusive", &["legacy", "modern"]),
    ];
    for (mode, eras) in table {
        let direct = proxy(mode, &server);
        let over_http = before(&["--mode", mode, "--mcp-http", &direct.mcp]);
        for front in [&direct, &over_http] {
            for era in eras {
                assert!(
                    run(&client, &[&front.mcp, era]).ends_with("all seen\n"),
                    "{mode} {era}"
                );
            }
        }
    }
}
