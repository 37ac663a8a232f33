//! Page: the sections of a report.
//!
//! Promise: what failed and which bars were missed come first; each plot says what its case isolates.
//! Cost: none while anything is measured.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use plunge_peers::harness::{CASES, Case};

use super::axis::Scale;
use super::bars::{self, Bar};
use super::lines::{self, Series, Side};
use super::tone::{escape, is_toned, short};
use crate::Failure;
use crate::record::{Line, Machine, read};
use crate::summary::{OURS, Row, in_unit, less_is_better, rows};

/// What stands beside ours in the table of ratios, whatever else was measured.
const BASELINE: &str = "old design";

/// Makes the report of a record that is on disk.
pub fn run(record: &Path, to: Option<&Path>) -> Result<(), Failure> {
    let lines = read(record)?;
    println!("report: {}", write(record, to, &lines)?.display());
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
            neighbours and hold on a busy machine better than times do.</p>"
}

fn verdict(lines: &[Line]) -> String {
    let mut text = String::from(r#"<table class="wide">"#);
    let mut any = false;
    for line in lines {
        let (class, said) = match line {
            Line::Failed { case, message } => ("bad", format!("FAILED: {case}: {message}")),
            Line::Bar { verdict } if verdict.ends_with("MISSED") => ("bad", verdict.clone()),
            Line::Bar { verdict } => ("good", verdict.clone()),
            _ => continue,
        };
        any = true;
        let _ = write!(
            text,
            r#"<tr><td class="{class}">{}</td></tr>"#,
            escape(&said)
        );
    }
    match any {
        true => text + "</table>",
        false => String::new(),
    }
}

fn baseline(lines: &[Line]) -> String {
    let mut body = String::new();
    for case in CASES {
        let rows = rows(lines, case.name);
        let find = |name: &str| rows.iter().find(|row| row.subject == name);
        let (Some(ours), Some(theirs)) = (find(OURS), find(BASELINE)) else {
            continue;
        };
        let unit = |row: &Row<'_>| short(in_unit(case, row.time().0).0);
        let wait = |row: &Row<'_>| row.wait(99.0).map_or(String::new(), short);
        let _ = write!(
            body,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.2}x</td><td>{}</td><td>{}</td></tr>",
            case.name,
            in_unit(case, 1.0).1,
            unit(ours),
            unit(theirs),
            ours.speed_over(theirs),
            wait(ours),
            wait(theirs)
        );
    }
    match body.is_empty() {
        true => body,
        false => format!(
            "<p>The {BASELINE} is a mutexed deque, a semaphore and a channel on which connections come \
             back.</p><table><tr><th>case</th><th>unit</th><th>{OURS}</th><th>{BASELINE}</th>\
             <th>faster by</th><th>p99 wait µs</th><th>theirs</th></tr>{body}</table>"
        ),
    }
}

/// The cases of a name before `_`, by their number of tasks.
fn tasks(lines: &[Line]) -> String {
    #[rustfmt::skip]
    let plots: [(&str, &str, &[&str]); 3] = [
        ("hits", "Without an await in the hold", &["hits_2", "two_workers", "hits_32", "hits_64"]),
        ("yields", "Holding over a yield", &["yields_2", "yields_8", "yields_32", "yields_64"]),
        ("threads", "Operating-system threads", &["threads_2", "threads_8", "threads_32"]),
    ];
    let mut text = String::new();
    for (_, title, names) in plots {
        let mut series: Vec<Series> = Vec::new();
        for case in CASES.iter().filter(|case| names.contains(&case.name)) {
            for row in rows(lines, case.name) {
                if is_toned(row.subject) {
                    let point = (case.tasks as f64, in_unit(case, row.time().0).0);
                    push(&mut series, row.subject, point);
                }
            }
        }
        if series.iter().any(|series| series.points.len() > 1) {
            let (x, y) = (
                side("tasks", Scale::Log),
                side("million cycles/s", Scale::Log),
            );
            let _ = write!(
                text,
                "<h3>{title}</h3>{}",
                lines::draw(title, &x, &y, &series)
            );
        }
    }
    text
}

fn side(title: &str, scale: Scale) -> Side {
    let title = title.to_owned();
    Side { title, scale }
}

fn push(series: &mut Vec<Series>, label: &str, point: (f64, f64)) {
    match series.iter_mut().find(|series| series.label == label) {
        Some(series) => series.points.push(point),
        None => series.push(Series {
            label: label.to_owned(),
            points: vec![point],
        }),
    }
}

/// Who starves callers is not drawn: the waits of those who never got an object are in no percentile.
const STARVED: f64 = 0.005;

fn waits(lines: &[Line]) -> String {
    let mut text = String::new();
    for case in CASES.iter().filter(|case| case.shape.has_waits()) {
        let rows = rows(lines, case.name);
        let toned = rows.iter().filter(|row| is_toned(row.subject));
        let (drawn, starving): (Vec<_>, Vec<_>) = toned
            .filter(|row| !row.waits().is_empty())
            .partition(|row| row.evenness() >= STARVED);
        let series: Vec<Series> = drawn
            .iter()
            .map(|row| Series {
                label: row.subject.to_owned(),
                points: row.waits(),
            })
            .collect();
        if !series.is_empty() {
            let (x, y) = (
                side("percentile (the last point is the maximum)", Scale::Nines),
                side("wait, µs", Scale::Log),
            );
            let plot = lines::draw(case.name, &x, &y, &series);
            text += &headed(case, &(plot + &left_out(&starving)));
        }
    }
    text
}

fn left_out(starving: &[&Row<'_>]) -> String {
    let names: Vec<String> = starving.iter().map(|row| escape(row.subject)).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(
            "<p class=\"soft\">Not drawn: {}. Some of its callers got nothing while others went round and \
             round; the waits it counts are those of the lucky ones.</p>",
            names.join(", ")
        ),
    }
}

fn headed(case: &Case, plot: &str) -> String {
    format!(
        r#"<h3>{}</h3><p class="soft">{}</p>{plot}"#,
        case.name,
        escape(case.isolates)
    )
}

fn cases(lines: &[Line]) -> String {
    let mut text = String::new();
    for case in CASES {
        let rows = rows(lines, case.name);
        if rows.is_empty() {
            continue;
        }
        let number = |ns| in_unit(case, ns).0;
        let bar = |row: &Row<'_>| {
            let (middle, least, most) = row.time();
            let (a, b) = (number(least), number(most));
            Bar {
                label: row.subject.to_owned(),
                number: number(middle),
                spread: Some((a.min(b), a.max(b))),
            }
        };
        let bars: Vec<Bar> = rows.iter().map(bar).collect();
        let better = if less_is_better(case) { "less" } else { "more" };
        let unit = format!("{} ({better} is better)", in_unit(case, 1.0).1);
        text += &headed(case, &bars::draw(case.name, &unit, &bars));
    }
    text
}

fn counts(lines: &[Line]) -> String {
    let mut text = String::new();
    for wanted in ["instructions", "allocations", "bytes allocated"] {
        let counted = lines.iter().filter_map(|line| match line {
            Line::Count {
                subject,
                what,
                per_cycle,
            } if what == wanted => Some((subject, *per_cycle)),
            _ => None,
        });
        text += &exact(&format!("{wanted} a hit cycle"), counted);
    }
    text
}

/// Bars of numbers without a spread.
fn exact<'a>(title: &str, numbers: impl Iterator<Item = (&'a String, f64)>) -> String {
    let bars: Vec<Bar> = numbers
        .map(|(label, number)| Bar {
            label: label.clone(),
            number: (number * 100.0).round() / 100.0,
            spread: None,
        })
        .collect();
    match bars.is_empty() {
        true => String::new(),
        false => format!(
            "<h3>{title}</h3>{}",
            bars::draw(title, "less is better", &bars)
        ),
    }
}

fn heap(lines: &[Line]) -> String {
    let weights = lines.iter().filter_map(|line| match line {
        Line::Weight {
            subject,
            bytes_per_connection,
        } => Some((subject, *bytes_per_connection)),
        _ => None,
    });
    let mut text = exact("bytes an idle connection", weights);
    let mut series: Vec<Series> = Vec::new();
    for line in lines {
        if let Line::Heap {
            subject,
            seconds,
            allocated,
            ..
        } = line
        {
            push(&mut series, subject, (*seconds, *allocated as f64 / 1024.0));
        }
    }
    if !series.is_empty() {
        let (x, y) = (
            side("seconds", Scale::Linear),
            side("live heap, KiB", Scale::Linear),
        );
        let plot = lines::draw("live heap", &x, &y, &series);
        let _ = write!(text, "<h3>Live heap while operations go on</h3>{plot}");
    }
    text
}
