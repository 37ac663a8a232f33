//! Times as people write them: `250ms`, `1.5s`, `1m30s`.
//!
//! Promise: what is written is read back as the same time. A number without its unit is refused, and so
//! is what no `Duration` can hold.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

const UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A time with its unit; `None` if it is written in no such way.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let (mut rest, mut nanos) = (text.trim(), 0_u128);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|letter: char| letter.is_ascii_alphabetic())?;
        let (number, after) = rest.split_at(end);
        let end = after
            .find(|letter: char| !letter.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
        nanos = nanos.checked_add(scaled(number, *size)?)?;
        rest = after.trim_start();
    }
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}

/// A decimal number of units, in nanoseconds; what is below one is cut off.
fn scaled(number: &str, size: u128) -> Option<u128> {
    let (whole, part) = number
        .trim()
        .split_once('.')
        .unwrap_or((number.trim(), "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 18 {
        return None;
    }
    let below = part.parse::<u128>().ok()?.checked_mul(size)? / 10_u128.pow(part.len() as u32);
    whole
        .parse::<u128>()
        .ok()?
        .checked_mul(size)?
        .checked_add(below)
}

/// The time in the largest unit that it is a whole number of.
pub(crate) fn spell(time: Duration) -> String {
    let nanos = time.as_nanos();
    let whole = UNITS
        .iter()
        .find(|(_, size)| nanos.is_multiple_of(*size) && nanos >= *size);
    match whole {
        Some((name, size)) => format!("{}{name}", nanos / size),
        None => String::from("0s"),
    }
}

pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&spell(*time))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).ok_or_else(|| {
        D::Error::custom(format_args!(
            "`{text}` is no time: write a number and its unit, such as 250ms, 1.5s or 10m"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let times = [
            0,
            1,
            999,
            1_000,
            1_500_000,
            250_000_000,
            90_000_000_000,
            86_400_000_000_000,
        ];
        for nanos in times {
            let time = Duration::from_nanos(nanos);
            assert_eq!(parse(&spell(time)), Some(time), "{}", spell(time));
        }
        assert_eq!(parse(&spell(Duration::MAX)), Some(Duration::MAX));
    }

    #[test]
    fn numbers_units_and_fractions_are_understood() {
        let read = |text| parse(text).map(|time| time.as_micros());
        assert_eq!(read("250ms"), Some(250_000));
        assert_eq!(read(" 1.5s "), Some(1_500_000));
        assert_eq!(read("1m30s"), Some(90_000_000));
        assert_eq!(read("1h 0.5m"), Some(3_630_000_000));
        assert_eq!(read("10us"), Some(10));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let wrong = [
            "",
            "5",
            "s",
            "-1s",
            "1.s",
            ".5s",
            "1e3s",
            "5 parsecs",
            "1s2",
            "99999999999999999999999d",
        ];
        for text in wrong {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
