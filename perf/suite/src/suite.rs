//! Suite: runs the plan, case by case, and keeps what it gives.
//!
//! Promise: a case is a process; what it printed is in the record whatever becomes of it. Progress
//! says what runs, how far it is and how long still.
//! Cost: the cases.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use plunge_peers::harness::Case;

use crate::arguments::SuiteOptions;
use crate::plan::{COUNTS, HEAP, Plan};
use crate::record::{Line, Writer};
use crate::{Failure, counts, heap, machine, report, summary};

/// What a subject's counting takes, about.
const COUNTING: Duration = Duration::from_secs(3);
/// What weighing takes, about, once its program is built.
const WEIGHING: Duration = Duration::from_secs(10);

/// How long a case may be silent: a block is over in a second, and says itself what is stuck after ten.
const PATIENCE: Duration = Duration::from_secs(90);

const SECOND: Duration = Duration::from_secs(1);

/// A suite under way.
struct Run {
    plan: Plan,
    options_crash: Option<String>,
    writer: Writer,
    lines: Vec<Line>,
    started: Instant,
    /// What is still to come, about.
    left: Duration,
    failed: bool,
}

/// Runs the suite and makes the report.
pub fn run(options: &SuiteOptions) -> Result<(), Failure> {
    let plan = Plan::of(options)?;
    let machine = machine::look();
    let folder = options.out.clone().unwrap_or_else(default_folder);
    std::fs::create_dir_all(&folder)
        .map_err(|error| Failure::Input(format!("{}: {error}", folder.display())))?;
    let path = folder.join(format!("{}.ndjson", machine.began_unix_seconds));
    warn_of_load(machine.load, machine.cores);

    let mut run = Run {
        left: total(&plan),
        plan,
        options_crash: options.plant_crash.clone(),
        writer: Writer::create(&path)?,
        lines: Vec::new(),
        started: Instant::now(),
        failed: false,
    };
    run.keep(Line::Machine(machine))?;
    run.play()?;
    run.count()?;
    run.weigh(options.quick)?;

    summary::print(&run.lines);
    let page = report::write(&path, None, &run.lines)?;
    println!("\nrecord: {}\nreport: {}", path.display(), page.display());
    match run.failed {
        true => Err(Failure::Run(String::from(
            "not everything could be measured: see the lines `FAILED` above",
        ))),
        false => Ok(()),
    }
}

fn default_folder() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    target.join("perf")
}

fn warn_of_load(load: f64, cores: usize) {
    if load > 0.3 * cores as f64 {
        eprintln!(
            "plunge-perf: the load is {load:.1} on {cores} cores: somebody else is at work, and every \
             time below says so too; ratios between neighbours hold better than times"
        );
    }
}

fn total(plan: &Plan) -> Duration {
    let mut total: Duration = plan.cases.iter().map(|case| plan.time_of(case)).sum();
    if plan.counts {
        total += COUNTING * counts::subjects().len() as u32;
    }
    if plan.heap {
        total += WEIGHING;
    }
    total
}

impl Run {
    fn keep(&mut self, line: Line) -> Result<(), Failure> {
        if let Line::Failed { case, message } = &line {
            self.failed = true;
            eprintln!("  FAILED: {case}: {message}");
        }
        self.writer.append(&line)?;
        self.lines.push(line);
        Ok(())
    }

    fn fail(&mut self, case: &str, message: String) -> Result<(), Failure> {
        let case = case.to_owned();
        self.keep(Line::Failed { case, message })
    }

    /// Says what runs now, and how long everything still takes, this part included.
    fn progress(&self, at: usize, of: usize, what: &str) {
        eprintln!(
            "[{at:2}/{of}] {what:40} {} gone, about {} left",
            clock(self.started.elapsed()),
            clock(self.left)
        );
    }

    fn play(&mut self) -> Result<(), Failure> {
        let cases = self.plan.cases.clone();
        for (at, case) in cases.iter().enumerate() {
            self.progress(at + 1, cases.len(), case.name);
            let expected = self.plan.time_of(case);
            self.case(case)?;
            self.left = self.left.saturating_sub(expected);
        }
        Ok(())
    }

    /// Plays a case in a child and keeps what it prints, as long as it prints something.
    fn case(&mut self, case: &Case) -> Result<(), Failure> {
        let mut child = match self.start(case) {
            Ok(child) => child,
            Err(error) => return self.fail(case.name, format!("cannot be started: {error}")),
        };
        let (sender, receiver) = channel();
        if let Some(output) = child.stdout.take() {
            std::thread::spawn(move || {
                for text in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = sender.send(text);
                }
            });
        }
        // Second by second: a machine that stood still is not held against the case.
        let mut silent = Duration::ZERO;
        loop {
            let heard = receiver.recv_timeout(SECOND);
            silent = match heard {
                Ok(_) => Duration::ZERO,
                Err(_) => silent + SECOND,
            };
            match heard {
                Ok(text) => match serde_json::from_str(&text) {
                    Ok(line) => self.keep(line)?,
                    Err(_) => {
                        self.fail(case.name, format!("printed no line of a record: {text}"))?
                    }
                },
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if silent < PATIENCE => {}
                Err(RecvTimeoutError::Timeout) => {
                    let _ = child.kill();
                    let text = format!("silent for {}: stopped", clock(PATIENCE));
                    self.fail(case.name, text)?;
                    break;
                }
            }
        }
        match child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => self.fail(case.name, format!("the case ended with {status}")),
            Err(error) => self.fail(case.name, error.to_string()),
        }
    }

    fn start(&self, case: &Case) -> std::io::Result<Child> {
        let crash = self.options_crash.as_deref() == Some(case.name);
        let (rounds, millis) = case.rounds(self.plan.rounds, self.plan.millis);
        Command::new(std::env::current_exe()?)
            .args(["block", case.name])
            .args(["--rounds", &rounds.to_string()])
            .args(["--millis", &millis.to_string()])
            .args(crash.then_some("--plant-crash"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
    }

    fn count(&mut self) -> Result<(), Failure> {
        if !self.plan.counts {
            return Ok(());
        }
        let subjects = counts::subjects();
        for (at, subject) in subjects.iter().enumerate() {
            self.progress(at + 1, subjects.len(), &format!("{COUNTS}: {subject}"));
            match counts::count(subject, self.plan.cycles) {
                Ok(lines) => lines.into_iter().try_for_each(|line| self.keep(line))?,
                Err(message) => {
                    // Without the tool, the other subjects would only say the same.
                    let missing = message.contains("install it");
                    self.fail(COUNTS, message)?;
                    if missing {
                        break;
                    }
                }
            }
            self.left = self.left.saturating_sub(COUNTING);
        }
        Ok(())
    }

    fn weigh(&mut self, quick: bool) -> Result<(), Failure> {
        if !self.plan.heap {
            return Ok(());
        }
        self.progress(1, 1, HEAP);
        match heap::measure(quick) {
            Ok(lines) => lines.into_iter().try_for_each(|line| self.keep(line)),
            Err(message) => self.fail(HEAP, message),
        }
    }
}

fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}
