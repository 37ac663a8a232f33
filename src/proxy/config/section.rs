//! One table of the file, read key by key; whatever is wrong with a value is noted and the rest read on.
//!
//! Promise: every key of the table is either read or reported.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::times::{parse_pause, parse_time};

/// Mistakes by the byte where each was made.
pub type Noted = Vec<(usize, String)>;

/// A value with the byte where it begins.
#[derive(Clone, Copy, Debug)]
pub struct At<T> {
    /// Where.
    pub at: usize,
    /// What.
    pub value: T,
}

/// A table that is being read.
pub struct Section<'t> {
    table: &'t DeTable<'t>,
    /// Where it begins.
    pub at: usize,
    known: Vec<&'static str>,
    noted: Noted,
}

impl<'t> Section<'t> {
    /// A table that begins at this byte.
    pub fn new(table: &'t DeTable<'t>, at: usize) -> Self {
        Self {
            table,
            at,
            known: Vec::new(),
            noted: Vec::new(),
        }
    }

    /// Notes a mistake.
    pub fn say(&mut self, at: usize, text: impl Into<String>) {
        self.noted.push((at, text.into()));
    }

    /// Whether nothing was wrong so far.
    pub fn is_sound(&self) -> bool {
        self.noted.is_empty()
    }

    /// Whether this key is written.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Where this key is written, or where the table begins.
    pub fn place(&self, key: &str) -> usize {
        self.table
            .get_key_value(key)
            .map_or(self.at, |(key, _)| key.span().start)
    }

    /// Ends the reading: what was not read is unknown. `elsewhere` says where a key would fit.
    pub fn finish(mut self, elsewhere: impl Fn(&str) -> Option<String>) -> Noted {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let meant = meant(name, &self.known);
            let text = match (elsewhere(name), meant) {
                (Some(text), _) => text,
                (None, Some(meant)) => format!("unknown key `{name}`: did you mean `{meant}`?"),
                (None, None) => {
                    let mut known = self.known.clone();
                    known.sort_unstable();
                    known.dedup();
                    format!("unknown key `{name}`: here fit {}", known.join(", "))
                }
            };
            self.noted.push((key.span().start, text));
        }
        self.noted
    }

    /// The value of a key, as it is.
    pub fn get(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.table.get(key)
    }

    /// A value that `read` understands; else what to write is noted.
    pub fn read<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'t DeValue<'t>) -> Result<T, String>,
    ) -> Option<At<T>> {
        let found = self.get(key)?;
        let at = found.span().start;
        match read(found.get_ref()) {
            Ok(value) => Some(At { at, value }),
            Err(wanted) => {
                self.say(at, format!("`{key}`: {wanted}"));
                None
            }
        }
    }

    /// A string.
    pub fn string(&mut self, key: &'static str) -> Option<At<&'t str>> {
        self.read(key, |value| text_of(value))
    }

    /// A truth value.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let read = |value: &DeValue<'_>| {
            let wanted = || format!("{} is not true or false: write one of them", kind_of(value));
            value.as_bool().ok_or_else(wanted)
        };
        self.read(key, read).map(|read| read.value)
    }

    /// A whole number in a range.
    pub fn number(&mut self, key: &'static str, fits: RangeInclusive<u64>) -> Option<At<u64>> {
        let (least, most) = (*fits.start(), *fits.end());
        self.read(key, |value| {
            let wanted = || format!("write a whole number between {least} and {most}");
            let Some(number) = value.as_integer() else {
                return Err(format!("{} is no number: {}", kind_of(value), wanted()));
            };
            u64::from_str_radix(number.as_str(), number.radix())
                .ok()
                .filter(|number| fits.contains(number))
                .ok_or_else(|| format!("{number} is out of range: {}", wanted()))
        })
    }

    /// A time, written as a string.
    pub fn time(&mut self, key: &'static str) -> Option<Duration> {
        self.time_by(key, parse_time)
    }

    /// A time that may be none at all.
    pub fn pause(&mut self, key: &'static str) -> Option<Duration> {
        self.time_by(key, parse_pause)
    }

    fn time_by(
        &mut self,
        key: &'static str,
        parse: fn(&str) -> Result<Duration, String>,
    ) -> Option<Duration> {
        let read = |value: &'t DeValue<'t>| match value {
            DeValue::String(text) => {
                parse(text).map_err(|wanted| format!("\"{text}\" is no time: {wanted}"))
            }
            _ => Err(format!(
                "{} is no time: write it with its unit, such as \"5s\"",
                kind_of(value)
            )),
        };
        self.read(key, read).map(|read| read.value)
    }

    /// An address to listen on.
    pub fn address(&mut self, key: &'static str) -> Option<SocketAddr> {
        let read = |value: &'t DeValue<'t>| {
            let text = text_of(value)?;
            let wanted =
                |_| format!("\"{text}\" is no address: write one such as \"127.0.0.1:8808\"");
            text.parse().map_err(wanted)
        };
        self.read(key, read).map(|read| read.value)
    }

    /// One of some words.
    pub fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<At<T>> {
        let names: Vec<&'static str> = words.iter().map(|(name, _)| *name).collect();
        self.read(key, |value| {
            let text = text_of(value)?;
            if let Some((_, chosen)) = words.iter().find(|(name, _)| *name == text) {
                return Ok(*chosen);
            }
            Err(match meant(text, &names) {
                Some(meant) => format!("\"{text}\" is unknown: did you mean \"{meant}\"?"),
                None => format!("\"{text}\" is unknown: write one of {}", names.join(", ")),
            })
        })
    }

    /// A list of strings, or one string alone.
    pub fn strings(&mut self, key: &'static str) -> Vec<At<&'t str>> {
        let Some(found) = self.get(key) else {
            return Vec::new();
        };
        let one = std::slice::from_ref(found);
        let items = match found.get_ref() {
            DeValue::Array(items) => items.iter().as_slice(),
            _ => one,
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            let at = item.span().start;
            match text_of(item.get_ref()) {
                Ok(value) => texts.push(At { at, value }),
                Err(wanted) => self.say(at, format!("`{key}`: {wanted}")),
            }
        }
        texts
    }

    /// A table of strings, such as headers.
    pub fn pairs(&mut self, key: &'static str) -> Vec<(At<&'t str>, &'t str)> {
        let Some(found) = self.get(key) else {
            return Vec::new();
        };
        let DeValue::Table(table) = found.get_ref() else {
            let at = found.span().start;
            let kind = kind_of(found.get_ref());
            self.say(
                at,
                format!("`{key}`: {kind} is no table: write {{ NAME = \"VALUE\" }}"),
            );
            return Vec::new();
        };
        let mut pairs = Vec::with_capacity(table.len());
        for (name, value) in table {
            let at = name.span().start;
            match text_of(value.get_ref()) {
                Ok(text) => pairs.push((
                    At {
                        at,
                        value: &**name.get_ref(),
                    },
                    text,
                )),
                Err(wanted) => self.say(value.span().start, format!("`{key}`: {wanted}")),
            }
        }
        pairs
    }
}

/// The known name that an unknown one is most like, if it is like one.
fn meant(name: &str, known: &[&'static str]) -> Option<&'static str> {
    known
        .iter()
        .map(|known| (strsim::normalized_damerau_levenshtein(name, known), *known))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, known)| known)
}

fn text_of<'t>(value: &'t DeValue<'t>) -> Result<&'t str, String> {
    value
        .as_str()
        .ok_or_else(|| format!("{} is no string: write it in quotes", kind_of(value)))
}

fn kind_of(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("\"{text}\""),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(_) => String::from("a date"),
        DeValue::Array(_) => String::from("a list"),
        DeValue::Table(_) => String::from("a table"),
    }
}
