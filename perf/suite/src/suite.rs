//! Suite: runs the plan, case by case, and keeps what it gives.
//!
//! Promise: a case is a process; what it printed is in the record whatever becomes of it. Progress
//! says what runs, how far it is and how long still.
//! Cost: the cases.

use std::path::PathBuf;
use std::time::Duration;

use plunge_peers::harness::{Case, has_valgrind};
use plunge_peers::say;

use crate::arguments::SuiteOptions;
use crate::child::{Child, Heard};
use crate::counts::Cycle;
use crate::heap::Scales;
use crate::laps::{Laps, clock};
use crate::plan::{COUNTS, HEAP, Plan};
use crate::record::{Line, Writer};
use crate::{Failure, counts, machine, report, summary};

/// What a subject's counting takes, about.
const COUNTING: Duration = Duration::from_secs(1);
/// What weighing a subject takes, about, and watching the heap.
const WEIGHING: Duration = Duration::from_millis(200);
const WATCHING: Duration = Duration::from_secs(5);

/// The part that is no measuring.
const BUILDING: &str = "building";

/// A suite under way.
struct Run {
    plan: Plan,
    options_crash: Option<String>,
    writer: Writer,
    lines: Vec<Line>,
    laps: Laps,
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

    // Before anything is timed: a compiler would be a neighbour of the cases.
    let mut laps = Laps::start();
    let scales = plan.heap.then(|| {
        eprintln!("plunge-perf: building what weighs the heap, unless it is there");
        Scales::build()
    });
    laps.lap(BUILDING);

    let mut run = Run {
        left: total(&plan),
        plan,
        options_crash: options.plant_crash.clone(),
        writer: Writer::create(&path)?,
        lines: Vec::new(),
        laps,
        failed: false,
    };
    run.keep(Line::Machine(machine))?;
    run.play()?;
    run.laps.lap("cases");
    run.count()?;
    run.laps.lap(COUNTS);
    if let Some(scales) = scales {
        run.weigh(scales, options.quick)?;
    }
    run.laps.lap(HEAP);

    summary::print(&run.lines);
    let page = report::write(&path, None, &run.lines)?;
    let measured = clock(run.laps.gone_without(BUILDING));
    say!(
        "\nmeasured in {measured}; what took time: {}",
        run.laps.line()
    );
    say!("record: {}\nreport: {}", path.display(), page.display());
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
        total += COUNTING * countings();
    }
    if plan.heap {
        total += WATCHING + WEIGHING * counts::subjects(Cycle::Hit).len() as u32;
    }
    total
}

impl Run {
    fn keep(&mut self, line: Line) -> Result<(), Failure> {
        if let Some(failure) = line.failure() {
            self.failed = true;
            eprintln!("  {failure}");
        }
        self.writer.append(&line)?;
        self.lines.push(line);
        Ok(())
    }

    fn fail(&mut self, case: &str, message: String) -> Result<(), Failure> {
        let case = case.to_owned();
        self.keep(Line::Failed {
            case,
            subject: None,
            message,
        })
    }

    /// Says what runs now, and how long everything still takes, this part included.
    fn progress(&self, at: usize, of: usize, what: &str) {
        eprintln!(
            "[{at:2}/{of}] {what:40} {} gone, about {} left",
            clock(self.laps.gone_without(BUILDING)),
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
        let crash = self.options_crash.as_deref() == Some(case.name);
        let (rounds, millis) = case.rounds(self.plan.rounds, self.plan.millis);
        let (rounds, millis) = (rounds.to_string(), millis.to_string());
        let mut arguments = vec!["block", case.name, "--rounds", &rounds, "--millis", &millis];
        arguments.extend(crash.then_some("--plant-crash"));
        let mut child = match Child::start(&arguments) {
            Ok(child) => child,
            Err(error) => return self.fail(case.name, format!("cannot be started: {error}")),
        };
        loop {
            match child.hear() {
                Heard::Line(text) => match serde_json::from_str(&text) {
                    Ok(line) => self.keep(line)?,
                    Err(_) => {
                        self.fail(case.name, format!("printed no line of a record: {text}"))?
                    }
                },
                Heard::End(Ok(())) => return Ok(()),
                Heard::End(Err(message)) => return self.fail(case.name, message),
            }
        }
    }

    fn count(&mut self) -> Result<(), Failure> {
        if !self.plan.counts {
            return Ok(());
        }
        if let Err(missing) = has_valgrind() {
            self.left = self.left.saturating_sub(COUNTING * countings());
            return self.fail(COUNTS, missing);
        }
        let mut at = 0;
        for cycle in Cycle::ALL {
            for subject in counts::subjects(cycle) {
                at += 1;
                let what = format!("{COUNTS}: {}, {subject}", cycle.name());
                self.progress(at, countings() as usize, &what);
                self.take(COUNTS, counts::count(cycle, subject, self.plan.cycles))?;
                self.left = self.left.saturating_sub(COUNTING);
            }
        }
        let verdicts = counts::verdicts(&self.lines).into_iter();
        verdicts
            .map(|verdict| Line::Bar { verdict })
            .try_for_each(|line| self.keep(line))
    }

    fn weigh(&mut self, scales: Result<Scales, String>, quick: bool) -> Result<(), Failure> {
        let scales = match scales {
            Ok(scales) => scales,
            Err(message) => return self.fail(HEAP, message),
        };
        let subjects = counts::subjects(Cycle::Hit);
        for (at, subject) in subjects.iter().enumerate() {
            self.progress(at + 1, subjects.len() + 1, &format!("{HEAP}: {subject}"));
            self.take(HEAP, scales.weigh(subject))?;
            self.left = self.left.saturating_sub(WEIGHING);
        }
        self.progress(
            subjects.len() + 1,
            subjects.len() + 1,
            &format!("{HEAP}: over time"),
        );
        let thousands = if quick { 20 } else { 100 };
        self.take(HEAP, scales.watch(thousands))
    }

    /// Keeps what was measured, or why it was not.
    fn take(&mut self, case: &str, measured: Result<Vec<Line>, String>) -> Result<(), Failure> {
        match measured {
            Ok(lines) => lines.into_iter().try_for_each(|line| self.keep(line)),
            Err(message) => self.fail(case, message),
        }
    }
}

/// How many times a subject is counted.
fn countings() -> u32 {
    let subjects = Cycle::ALL.map(|cycle| counts::subjects(cycle).len() as u32);
    subjects.iter().sum()
}
