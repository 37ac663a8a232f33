//! Times as people write them.

use std::time::Duration;

use crate::proxy::options::LONGEST;

const WANTED: &str = "write a time above zero, up to a year, such as 250ms, 5s or 1m";

/// Reads a time such as `5s`, `250ms`, `1m`, `2h`, up to a year; a bare number is seconds.
///
/// # Errors
///
/// What to write instead.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let time = parse_pause(text)?;
    let found = Some(time).filter(|time| !time.is_zero());
    found.ok_or_else(|| String::from(WANTED))
}

/// The same, or no time at all: `0s`.
pub fn parse_pause(text: &str) -> Result<Duration, String> {
    let wrong = || String::from(WANTED);
    let digits = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..digits].parse().map_err(|_| wrong())?;
    let seconds = match &text[digits..] {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|time| *time <= LONGEST)
        .ok_or_else(wrong)
}
