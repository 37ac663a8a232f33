//! Children to test with, and ways to wait for what they do.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use plunge::transport::{Command, Death, LineSink, Subprocess};

/// The bound of every wait. Reaching it is a failure, so it is long.
pub const BOUND: Duration = Duration::from_secs(60);

/// A shell script as a child that is not waited for long at its end.
pub fn sh(script: &str) -> Command {
    let grace = Duration::from_millis(50);
    Command::new("sh")
        .arg("-c")
        .arg(script)
        .eof_grace(grace)
        .term_grace(grace)
}

pub async fn spawn(script: &str) -> Subprocess {
    Subprocess::spawn(sh(script)).await.expect("sh starts")
}

/// Waits, when it is dropped, until nothing is left of the children that were let go: the program
/// may end right after. Declared first, so that it is dropped last.
pub struct Settled;

impl Drop for Settled {
    fn drop(&mut self) {
        futures::executor::block_on(Subprocess::settled());
    }
}

/// Waits for a condition.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < BOUND, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The same without a runtime.
pub fn until_blocking(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < BOUND, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits for a future.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(BOUND, future).await else {
        panic!("waited in vain for {what}");
    };
    value
}

pub async fn death_of(child: &Subprocess) -> Death {
    until("the child is dead", || child.death().is_some()).await;
    child.death().expect("just seen")
}

/// Whether a child of this process is neither running nor a zombie.
pub fn is_gone(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

/// Whether a process that is not our child has ended; whoever adopted it may not have reaped it.
pub fn has_ended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_none_or(|rest| rest.is_empty() || rest.trim_start().starts_with(['Z', 'X']))
}

/// A path that does not exist and is removed at the end.
pub struct Gate(pub PathBuf);

impl Gate {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("plunge-gate-{}-{number}", std::process::id())))
    }

    /// A script that waits for the gate.
    pub fn wait(&self) -> String {
        format!("until [ -e {} ]; do sleep 0.005; done;", self.0.display())
    }

    pub fn open(&self) {
        std::fs::write(&self.0, "").expect("the temporary folder takes a file");
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A sink that keeps what it gets.
#[derive(Default)]
pub struct Kept {
    pub lines: Mutex<Vec<Bytes>>,
    pub deaths: Mutex<Vec<Death>>,
}

impl Kept {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines
            .lock()
            .unwrap()
            .iter()
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect()
    }

    pub fn deaths(&self) -> Vec<Death> {
        self.deaths.lock().unwrap().clone()
    }
}

impl LineSink for Kept {
    fn on_line(&self, line: Bytes) {
        self.lines.lock().unwrap().push(line);
    }

    fn on_death(&self, death: &Death) {
        self.deaths.lock().unwrap().push(*death);
    }
}

/// Runs a test in a process of its own, so that it can count what the process has.
pub fn in_own_process(name: &str, body: impl FnOnce()) {
    const INSIDE: &str = "PLUNGE_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        told.contains("1 passed") || !output.status.success(),
        "no test is named {name}"
    );
    assert!(
        output.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The children of this process, zombies included.
pub fn children() -> Vec<u32> {
    let own = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = processes.filter_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
        let parent = stat
            .rsplit(')')
            .next()?
            .split_whitespace()
            .nth(1)?
            .to_owned();
        (parent == own).then_some(pid)
    });
    stats.collect()
}

/// How many descriptors this process has open.
pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

pub fn multi_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}
