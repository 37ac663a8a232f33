//! Page: the sections of a report.
//!
//! Promise: what failed and which bars were missed come first; each plot says what its case isolates.
//! Cost: none while anything is measured.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use plunge_peers::harness::{CASES, Case};
use plunge_peers::say;

use super::exact::{counts, heap};
use super::plots::{cases, tasks, waits};
use super::tone::{escape, short};
use crate::Failure;
use crate::record::{Line, Machine, read};
use crate::rows::{OURS, Part, Row, parts, scaling};

/// What stands beside ours in the table of ratios, whatever else was measured.
const BASELINE: &str = "old design";

/// Makes the report of a record that is on disk.
pub fn run(record: &Path, to: Option<&Path>) -> Result<(), Failure> {
    let lines = read(record)?;
    say!("report: {}", write(record, to, &lines)?.display());
    Ok(())
}

/// Writes the page of these lines beside their record, or where it is told to.
pub fn write(record: &Path, to: Option<&Path>, lines: &[Line]) -> Result<PathBuf, Failure> {
    let path = to.map_or_else(|| record.with_extension("html"), Path::to_path_buf);
    std::fs::write(&path, page(lines))
        .map_err(|error| Failure::Run(format!("{} cannot be written: {error}", path.display())))?;
    Ok(path)
}

fn page(lines: &[Line]) -> String {
    let parts = [
        ("verdict", "Verdict", verdict(lines)),
        ("baseline", "Beside the baseline", baseline(lines)),
        ("tasks", "Throughput against tasks", tasks(lines)),
        ("waits", "Waits", waits(lines)),
        ("peers", "Every case beside the peers", cases(lines)),
        ("counts", "Counts", counts(lines)),
        ("heap", "Heap", heap(lines)),
    ];
    let parts = parts.iter().filter(|(_, _, text)| !text.is_empty());
    let mut links = String::new();
    let mut body = String::new();
    for (id, title, text) in parts {
        let _ = write!(links, r##"<a href="#{id}">{title}</a>"##);
        let _ = write!(
            body,
            r#"<section><h2 id="{id}">{title}</h2>{text}</section>"#
        );
    }
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>plunge: benchmark report</title><style>{}</style></head>\
         <body><h1>plunge: benchmark report</h1>{}<nav>{links}</nav>{body}</body></html>\n",
        include_str!("page.css"),
        machine(lines)
    )
}

fn machine(lines: &[Line]) -> String {
    let Some(Line::Machine(machine)) = lines.first() else {
        return String::new();
    };
    let Machine {
        commit,
        compiler,
        cpu,
        cores,
        kernel,
        load,
        command,
        versions,
        ..
    } = machine;
    let versions: Vec<String> = versions
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let entries = [
        ("commit", commit.clone()),
        ("command", command.clone()),
        ("compiler", compiler.clone()),
        (
            "machine",
            format!("{cpu}, {cores} cores, {kernel}, load {load:.2} at the start"),
        ),
        ("versions", versions.join(", ")),
    ];
    let mut text = String::from("<dl>");
    for (name, value) in entries {
        let _ = write!(text, "<dt>{name}</dt><dd>{}</dd>", escape(&value));
    }
    text + "</dl><p class=\"soft\">Subjects play in turns in one process; numbers are medians over \
            rounds, the thin line is the fastest and the slowest of them. Ratios are taken between \
            neighbours and hold on a busy machine better than times do. The cores of a virtual machine are \
            now near each other, now far apart: what two of them play is compared, and drawn, for each \
            by itself; blocks during which they moved are left out.</p>"
}

fn verdict(lines: &[Line]) -> String {
    let said = lines.iter().filter_map(|line| match line {
        Line::Failed { .. } => Some(("bad", line.failure()?)),
        Line::Bar { verdict } if verdict.ends_with("MISSED") => Some(("bad", verdict.clone())),
        Line::Bar { verdict } if verdict.ends_with("reached") => Some(("good", verdict.clone())),
        Line::Bar { verdict } => Some(("soft", verdict.clone())),
        _ => None,
    });
    let mut rows: Vec<(&str, String)> = said.collect();
    rows.sort_by_key(|(class, _)| *class != "bad");
    rows.extend(scaling(lines).into_iter().map(|line| ("soft", line)));
    if rows.is_empty() {
        return String::new();
    }
    let mut text = String::from(r#"<table class="wide">"#);
    for (class, said) in rows {
        let _ = write!(
            text,
            r#"<tr><td class="{class}">{}</td></tr>"#,
            escape(&said)
        );
    }
    text + "</table>"
}

fn baseline(lines: &[Line]) -> String {
    let mut body = String::new();
    for case in CASES {
        for part in parts(lines, case.name).parts {
            body += &beside_baseline(case, &part).unwrap_or_default();
        }
    }
    match body.is_empty() {
        true => body,
        false => format!(
            "<p>The {BASELINE} is a mutexed deque, a semaphore and a channel on which connections come \
             back.</p><table><tr><th>case</th><th>cores</th><th>faster by</th><th>{OURS}</th><th>{BASELINE}</th>\
             <th>unit</th><th>p99 wait µs</th><th>theirs</th></tr>{body}</table>"
        ),
    }
}

fn beside_baseline(case: &Case, part: &Part<'_>) -> Option<String> {
    let (ours, theirs) = (part.row(OURS)?, part.row(BASELINE)?);
    let unit = |row: &Row<'_>| short(case.in_unit(row.time().0).0);
    let wait = |row: &Row<'_>| row.wait(99.0).map_or(String::new(), short);
    Some(format!(
        "<tr><td>{}</td><td>{}</td><td>{:.2}x</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        case.name,
        part.side.name(),
        ours.speed_over(theirs),
        unit(ours),
        unit(theirs),
        case.in_unit(1.0).1,
        wait(ours),
        wait(theirs)
    ))
}
