//! Official client libraries on a real server, through the command itself.
//!
//! `scripts/tools` fetches both and names them in the environment; without it these tests only say so.

use std::process::Command;

use crate::command_line::serve;

#[test]
fn the_official_python_client_works_on_a_real_server() {
    let (Ok(python), Ok(server)) = (
        std::env::var("PLUNGE_TEST_PYTHON"),
        std::env::var("PLUNGE_TEST_EVERYTHING"),
    ) else {
        eprintln!("skipped: scripts/clients fetches the client and the server and runs this");
        return;
    };
    let (_running, lines) = serve(&[
        "--mode",
        "session",
        "--min-idle",
        "2",
        "--stdio",
        &format!("node '{server}' stdio"),
    ]);
    let after = |mark: &str| {
        lines
            .iter()
            .find_map(|line| Some(line.split_once(mark)?.1.split(' ').next()?.to_owned()))
            .unwrap()
    };
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/clients/python_client.py"
    );
    let run = Command::new(python)
        .args([script, &after("listening on "), &after("admin: ")])
        .output()
        .unwrap();
    let (said, complained) = (
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr),
    );
    eprintln!("{said}");
    assert!(
        run.status.success() && said.ends_with("all seen\n"),
        "{said}\n{complained}"
    );
}
