//! Options as text: what of a pool's options can be written down and read back.
//!
//! Hooks, the runtime and the watcher are code and left out. A setting that is not given is that of
//! the `profile` given, or the default.
//!
//! Promise: an unknown name is refused, and whatever is wrong is said with the name of its setting;
//! what was written is read back the same, in formats that name what they hold and in those that do
//! not: it is a map of names to values in all of them.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::options::PoolOptions;
use super::profile::Profile;
use super::tuning::PoolTuning;
use crate::engine::{Fairness, IdleOrder};
use crate::time::spelled;

/// A time as people write it.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Time(#[serde(with = "spelled")] pub(crate) Duration);

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
    ($given:ident, $names:ident, $of:ident; $($name:ident: $kind:ty, $set:expr, $get:expr;)*) => {
        const $names: &[&str] = &[$(stringify!($name)),*];

        /// What was given, by name.
        struct $given {
            $($name: Option<$kind>,)*
        }

        impl $given {
            const NOTHING: Self = Self { $($name: None,)* };

            /// Reads the value of this name. `false`: there is no such setting.
            fn read<'de, M: MapAccess<'de>>(&mut self, name: &str, map: &mut M) -> Result<bool, M::Error> {
                match name {
                    $(stringify!($name) => fill(&mut self.$name, stringify!($name), map)?,)*
                    _ => return Ok(false),
                }
                Ok(true)
            }

            fn apply<T>(self, to: &mut $of<T>) {
                $(if let Some(value) = self.$name {
                    let set: fn(&mut $of<T>, $kind) = $set;
                    set(to, value);
                })*
            }

            fn of<T>(from: &$of<T>) -> Self {
                Self {
                    $($name: {
                        let get: fn(&$of<T>) -> Option<$kind> = $get;
                        get(from)
                    },)*
                }
            }

            /// How many were given.
            fn count(&self) -> usize {
                [$(self.$name.is_some()),*].into_iter().filter(|given| *given).count()
            }

            fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
                $(if let Some(value) = &self.$name {
                    map.serialize_entry(stringify!($name), value)?;
                })*
                Ok(())
            }
        }
    };
}

/// A value for what has none yet; an error says whose it is.
pub(crate) fn fill<'de, V: Deserialize<'de>, M: MapAccess<'de>>(
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
    Own, OWN, PoolOptions;
    name: String, |o, v| o.name = Some(v.into()), |o| o.name.as_deref().map(str::to_owned);
    max_connections_ceiling: u32, |o, v| o.max_connections_ceiling = Some(v), |o| o.max_connections_ceiling;
    connect_backoff: Backoff, |o, v| o.connect_backoff = (v.first.0, v.longest.0),
        |o| Some(Backoff { first: Time(o.connect_backoff.0), longest: Time(o.connect_backoff.1) });
    idle_order: IdleOrder, |o, v| o.idle_order = v, |o| Some(o.idle_order);
}

settings! {
    Tuned, TUNED, PoolTuning;
    max_connections: u32, |t, v| t.max_connections = v, |t| Some(t.max_connections);
    min_idle: u32, |t, v| t.min_idle = v, |t| Some(t.min_idle);
    max_connecting: u32, |t, v| t.max_connecting = v, |t| Some(t.max_connecting);
    max_waiters: u32, |t, v| t.max_waiters = v,
        |t| Some(t.max_waiters).filter(|most| *most != u32::MAX);
    acquire_timeout: Time, |t, v| t.acquire_timeout = v.0, |t| Some(Time(t.acquire_timeout));
    connect_timeout: Time, |t, v| t.connect_timeout = v.0, |t| Some(Time(t.connect_timeout));
    hook_timeout: Time, |t, v| t.hook_timeout = v.0, |t| Some(Time(t.hook_timeout));
    close_timeout: Time, |t, v| t.close_timeout = v.0, |t| Some(Time(t.close_timeout));
    check_after_idle: Limit, |t, v| t.check_after_idle = v.0.unwrap_or(Duration::MAX),
        |t| Some(Limit(Some(t.check_after_idle).filter(|time| *time != Duration::MAX)));
    idle_timeout: Limit, |t, v| t.idle_timeout = v.0, |t| Some(Limit(t.idle_timeout));
    max_lifetime: Limit, |t, v| t.max_lifetime = v.0, |t| Some(Limit(t.max_lifetime));
    leak_after: Limit, |t, v| t.leak_after = v.0, |t| Some(Limit(t.leak_after));
    slow_acquire: Limit, |t, v| t.slow_acquire = v.0, |t| Some(Limit(t.slow_acquire));
    fairness: Fairness, |t, v| t.fairness = v, |t| Some(t.fairness);
}

/// All names, the profile's first.
const NAMES: &[&str] = &{
    let mut names = ["profile"; 1 + OWN.len() + TUNED.len()];
    let mut at = 1;
    while at < names.len() {
        let own = at <= OWN.len();
        names[at] = if own {
            OWN[at - 1]
        } else {
            TUNED[at - 1 - OWN.len()]
        };
        at += 1;
    }
    names
};

/// All of a map's entries. `read` tells whether it knew the name.
pub(crate) fn read_map<'de, M: MapAccess<'de>>(
    mut map: M,
    names: &'static [&'static str],
    mut read: impl FnMut(&str, &mut M) -> Result<bool, M::Error>,
) -> Result<(), M::Error> {
    while let Some(name) = map.next_key::<String>()? {
        if !read(&name, &mut map)? {
            return Err(M::Error::unknown_field(&name, names));
        }
    }
    Ok(())
}

impl<T> Serialize for PoolOptions<T> {
    /// Writes what can be written; see [`PoolOptions`].
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (own, tuned) = (Own::of(self), Tuned::of(&self.tuning));
        let mut map = to.serialize_map(Some(own.count() + tuned.count()))?;
        own.write(&mut map)?;
        tuned.write(&mut map)?;
        map.end()
    }
}

impl<T> Serialize for PoolTuning<T> {
    /// Writes what can be written; see [`PoolTuning`].
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let tuned = Tuned::of(self);
        let mut map = to.serialize_map(Some(tuned.count()))?;
        tuned.write(&mut map)?;
        map.end()
    }
}

impl<'de, T> Deserialize<'de> for PoolOptions<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Settings(PhantomData))
    }
}

impl<'de, T> Deserialize<'de> for PoolTuning<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Tunings(PhantomData))
    }
}

/// What the settings given change.
fn base<T>(profile: Option<Profile>) -> PoolOptions<T> {
    profile.map_or_else(PoolOptions::new, PoolOptions::profile)
}

struct Settings<T>(PhantomData<fn() -> T>);

impl<'de, T> Visitor<'de> for Settings<T> {
    type Value = PoolOptions<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the options of a pool by their names")
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
        let (mut profile, mut own, mut tuned) = (None, Own::NOTHING, Tuned::NOTHING);
        read_map(map, NAMES, |name, map| match name {
            "profile" => fill(&mut profile, "profile", map).map(|()| true),
            name => Ok(own.read(name, map)? || tuned.read(name, map)?),
        })?;
        let mut options = base(profile);
        own.apply(&mut options);
        tuned.apply(&mut options.tuning);
        Ok(options)
    }
}

struct Tunings<T>(PhantomData<fn() -> T>);

impl<'de, T> Visitor<'de> for Tunings<T> {
    type Value = PoolTuning<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings of a running pool by their names")
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
        let (mut profile, mut tuned) = (None, Tuned::NOTHING);
        read_map(map, TUNED, |name, map| match name {
            "profile" => fill(&mut profile, "profile", map).map(|()| true),
            name => tuned.read(name, map),
        })?;
        let mut tuning = base(profile).tuning;
        tuned.apply(&mut tuning);
        Ok(tuning)
    }
}
