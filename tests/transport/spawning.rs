//! What cannot be started is refused in words that help.

use std::time::Duration;

use plunge::transport::{Command, CommandError, SpawnError, Subprocess};

use crate::support::{sh, until, within};

#[tokio::test]
async fn every_way_to_name_a_command_works() {
    let named = Command::new("cat").arg("-u");
    let line = String::from("\"cat\" -u");
    for spawning in [
        Subprocess::spawn("cat -u"),
        Subprocess::spawn(String::from("cat '-u'")),
        Subprocess::spawn(&line),
        Subprocess::spawn(&named),
        Subprocess::spawn(named.clone()),
    ] {
        assert_eq!(spawning.await.unwrap().request(b"{}").await.unwrap(), "{}");
    }
}

#[tokio::test]
async fn missing_program_is_named_with_what_to_do() {
    let error = Subprocess::spawn("no-such-program-anywhere --flag")
        .await
        .unwrap_err();
    assert!(
        matches!(&error, SpawnError::NotFound { program } if program == "no-such-program-anywhere")
    );
    assert!(error.is_permanent());
    let message = error.to_string();
    assert!(
        message.contains("no-such-program-anywhere") && message.contains("PATH"),
        "{message}"
    );
}

#[tokio::test]
async fn file_that_is_no_program_is_named() {
    for program in ["/etc/passwd", "/tmp"] {
        let error = Subprocess::spawn(program).await.unwrap_err();
        assert!(
            matches!(error, SpawnError::NotExecutable { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains(program), "{error}");
    }
}

#[tokio::test]
async fn missing_working_directory_is_told_apart_from_a_missing_program() {
    let error = Subprocess::spawn(Command::new("cat").current_dir("/no/such/folder"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, SpawnError::WorkingDirectory { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("/no/such/folder"), "{error}");
}

#[tokio::test]
async fn bad_command_lines_are_refused() {
    for (line, why) in [
        ("", CommandError::Empty),
        ("  \t ", CommandError::Empty),
        ("''", CommandError::Empty),
        ("cat 'x", CommandError::OpenQuote('\'')),
        ("cat \"x", CommandError::OpenQuote('"')),
        ("cat \\", CommandError::LoneBackslash),
    ] {
        let error = Subprocess::spawn(line).await.unwrap_err();
        assert!(
            matches!(error, SpawnError::Command(told) if told == why),
            "{line:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn nul_bytes_are_refused() {
    let error = Subprocess::spawn(Command::new("cat").arg("a\0b"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, SpawnError::NotExecutable { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn zero_limits_are_refused_by_name() {
    for (command, name) in [
        (sh("").max_line_bytes(0), "max_line_bytes"),
        (sh("").stdin_queue_bytes(0), "stdin_queue_bytes"),
    ] {
        let error = Subprocess::spawn(command).await.unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn without_a_runtime_it_is_refused() {
    let error = futures::executor::block_on(Subprocess::spawn("cat")).unwrap_err();
    assert!(matches!(error, SpawnError::NoRuntime));
}

#[test]
fn on_a_runtime_without_input_and_output_it_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let error = runtime.block_on(Subprocess::spawn("cat")).unwrap_err();
    assert!(matches!(error, SpawnError::NoRuntime));
    futures::executor::block_on(Subprocess::settled());
}

#[tokio::test]
async fn environment_and_directory_reach_the_child() {
    let command = Command::new("/bin/sh")
        .args(["-c", "read -r line; echo \"$GREETING $PWD ${HOME-none}\""])
        .env_clear()
        .env("GREETING", "hello")
        .current_dir("/");
    let answer = Subprocess::spawn(command)
        .await
        .unwrap()
        .request(b"go")
        .await
        .unwrap();
    assert_eq!(answer, "hello / none");
}

#[tokio::test]
async fn start_that_nobody_waits_for_leaves_no_process() {
    let marker = format!("1000.{}", std::process::id());
    for _ in 0..20 {
        let spawning =
            Subprocess::spawn(Command::new("sleep").arg(&marker).eof_grace(Duration::ZERO));
        let _ = tokio::time::timeout(Duration::ZERO, spawning).await;
    }
    // The starts are done one after the other, so this one is the last.
    within("a start", Subprocess::spawn("cat")).await.unwrap();
    Subprocess::settled().await;
    until("no sleeper is left", || !runs(&marker)).await;
}

/// Whether a process with this argument exists.
fn runs(argument: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .any(|line| {
            line.split(|byte| *byte == 0)
                .any(|word| word == argument.as_bytes())
        })
}
