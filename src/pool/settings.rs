//! Options as text: what of a pool's options can be written down and read back.
//!
//! Hooks, the runtime and the watcher are code and left out. A setting that is not given is that of
//! the `profile` given, or the default.
//!
//! Promise: an unknown name is refused, and whatever is wrong is said with the name of its setting;
//! what was written is read back the same.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::options::PoolOptions;
use super::profile::Profile;
use crate::engine::{Fairness, IdleOrder};
use crate::time::spelled;

/// A time as people write it.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
struct Time(#[serde(with = "spelled")] Duration);

/// A time that may be `never`.
#[derive(Clone, Copy)]
struct Limit(Option<Duration>);

/// The name of no limit.
const NEVER: &str = "never";

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(time) => spelled::serialize(&time, to),
            None => to.serialize_str(NEVER),
        }
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text == NEVER {
            return Ok(Self(None));
        }
        let wrong = || {
            D::Error::custom(format_args!(
                "`{text}` is no time: write a number and its unit, such as 250ms, 1.5s or 10m, or `{NEVER}`"
            ))
        };
        spelled::parse(&text).map(Some).map(Self).ok_or_else(wrong)
    }
}

/// The first and the longest pause.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Backoff {
    first: Time,
    longest: Time,
}

/// Reads and writes each setting in turn: its name, how it is written, how it is set, how it is read.
macro_rules! settings {
    ($($name:ident: $kind:ty, $set:expr, $get:expr;)*) => {
        const NAMES: &[&str] = &["profile", $(stringify!($name)),*];

        /// What was given, by name.
        struct Given {
            profile: Option<Profile>,
            $($name: Option<$kind>,)*
        }

        impl Given {
            const NOTHING: Self = Self { profile: None, $($name: None,)* };

            fn read<'de, M: MapAccess<'de>>(&mut self, name: &str, map: &mut M) -> Result<(), M::Error> {
                match name {
                    "profile" => fill(&mut self.profile, "profile", map),
                    $(stringify!($name) => fill(&mut self.$name, stringify!($name), map),)*
                    unknown => {
                        let _ = map.next_value::<IgnoredAny>();
                        Err(M::Error::unknown_field(unknown, NAMES))
                    }
                }
            }

            fn options<T>(self) -> PoolOptions<T> {
                let mut options = self.profile.map_or_else(PoolOptions::new, PoolOptions::profile);
                $(if let Some(value) = self.$name {
                    let set: fn(&mut PoolOptions<T>, $kind) = $set;
                    set(&mut options, value);
                })*
                options
            }
        }

        impl<T> Serialize for PoolOptions<T> {
            /// Writes what can be written; see [`PoolOptions`].
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                let mut fields = to.serialize_struct("PoolOptions", NAMES.len() - 1)?;
                $(
                    let get: fn(&PoolOptions<T>) -> Option<$kind> = $get;
                    match get(self) {
                        Some(value) => fields.serialize_field(stringify!($name), &value)?,
                        None => fields.skip_field(stringify!($name))?,
                    }
                )*
                fields.end()
            }
        }
    };
}

/// A value for what has none yet; an error says whose it is.
fn fill<'de, V: Deserialize<'de>, M: MapAccess<'de>>(
    place: &mut Option<V>,
    name: &'static str,
    map: &mut M,
) -> Result<(), M::Error> {
    if place.is_some() {
        return Err(M::Error::duplicate_field(name));
    }
    let value = map
        .next_value()
        .map_err(|error| M::Error::custom(format_args!("pool option `{name}`: {error}")))?;
    *place = Some(value);
    Ok(())
}

settings! {
    name: String, |o, v| o.name = Some(v.into()), |o| o.name.as_deref().map(str::to_owned);
    max_connections: u32, |o, v| o.tuning.max_connections = v, |o| Some(o.tuning.max_connections);
    max_connections_ceiling: u32, |o, v| o.max_connections_ceiling = Some(v), |o| o.max_connections_ceiling;
    min_idle: u32, |o, v| o.tuning.min_idle = v, |o| Some(o.tuning.min_idle);
    max_connecting: u32, |o, v| o.tuning.max_connecting = v, |o| Some(o.tuning.max_connecting);
    max_waiters: u32, |o, v| o.tuning.max_waiters = v,
        |o| Some(o.tuning.max_waiters).filter(|most| *most != u32::MAX);
    acquire_timeout: Time, |o, v| o.tuning.acquire_timeout = v.0, |o| Some(Time(o.tuning.acquire_timeout));
    connect_timeout: Time, |o, v| o.tuning.connect_timeout = v.0, |o| Some(Time(o.tuning.connect_timeout));
    hook_timeout: Time, |o, v| o.tuning.hook_timeout = v.0, |o| Some(Time(o.tuning.hook_timeout));
    close_timeout: Time, |o, v| o.tuning.close_timeout = v.0, |o| Some(Time(o.tuning.close_timeout));
    check_after_idle: Limit, |o, v| o.tuning.check_after_idle = v.0.unwrap_or(Duration::MAX),
        |o| Some(Limit(Some(o.tuning.check_after_idle).filter(|time| *time != Duration::MAX)));
    idle_timeout: Limit, |o, v| o.tuning.idle_timeout = v.0, |o| Some(Limit(o.tuning.idle_timeout));
    max_lifetime: Limit, |o, v| o.tuning.max_lifetime = v.0, |o| Some(Limit(o.tuning.max_lifetime));
    leak_after: Limit, |o, v| o.tuning.leak_after = v.0, |o| Some(Limit(o.tuning.leak_after));
    slow_acquire: Limit, |o, v| o.tuning.slow_acquire = v.0, |o| Some(Limit(o.tuning.slow_acquire));
    connect_backoff: Backoff, |o, v| o.connect_backoff = (v.first.0, v.longest.0),
        |o| Some(Backoff { first: Time(o.connect_backoff.0), longest: Time(o.connect_backoff.1) });
    fairness: Fairness, |o, v| o.tuning.fairness = v, |o| Some(o.tuning.fairness);
    idle_order: IdleOrder, |o, v| o.idle_order = v, |o| Some(o.idle_order);
}

impl<'de, T> Deserialize<'de> for PoolOptions<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_struct("PoolOptions", NAMES, Settings(PhantomData))
    }
}

struct Settings<T>(PhantomData<fn() -> T>);

impl<'de, T> Visitor<'de> for Settings<T> {
    type Value = PoolOptions<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the options of a pool by their names")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut given = Given::NOTHING;
        while let Some(name) = map.next_key::<String>()? {
            given.read(&name, &mut map)?;
        }
        Ok(given.options())
    }
}
