//! Tone: which colour a subject has, in every plot the same.
//!
//! Promise: the tones are told apart in light and dark and by most colour-blind readers; ours is the
//! strongest. Whoever is in no line plot is grey.
//! Cost: none.

/// Subjects with a tone of their own; a class `t0`, `t1`, ... of the page's style.
const TONED: &[&str] = &[
    "plunge",
    "ArrayQueue pop + push",
    "Semaphore + ArrayQueue",
    "old design",
    "deadpool",
    "bb8",
    "mobc",
    "sqlx",
];

/// The class of a subject's marks.
pub fn class(subject: &str) -> String {
    match TONED.iter().position(|toned| *toned == subject) {
        Some(at) => format!("t{at}"),
        None => String::from("tx"),
    }
}

/// Whether a subject is drawn where every line more makes the plot harder to read.
pub fn is_toned(subject: &str) -> bool {
    TONED.contains(&subject)
}

/// Makes text safe between tags and in attributes.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A number as short as it stays exact enough to be read off a plot.
pub fn short(number: f64) -> String {
    let size = number.abs();
    match number {
        _ if !number.is_finite() => String::from("?"),
        _ if size > 0.0 && size < 1e-3 => format!("{number:.0e}"),
        _ if size >= 1e6 => format!("{}M", trim(number / 1e6)),
        _ if size >= 1e4 => format!("{}k", trim(number / 1e3)),
        _ => trim(number),
    }
}

fn trim(number: f64) -> String {
    let digits = match number.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 0.1 => 2,
        _ => 4,
    };
    let text = format!("{number:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}
