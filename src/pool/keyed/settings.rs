//! Options of a keyed pool as text: as those of a pool, with the settings of each key under `per_key`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::options::KeyedOptions;
use crate::pool::settings::{Time, fill, read_map};

const NAMES: &[&str] = &["max_connections", "key_timeout", "per_key"];

impl<K, T> Serialize for KeyedOptions<K, T> {
    /// Writes what can be written; see [`KeyedOptions`].
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(NAMES.len()))?;
        map.serialize_entry("max_connections", &self.max_connections)?;
        map.serialize_entry("key_timeout", &Time(self.key_timeout))?;
        map.serialize_entry("per_key", &self.per_key)?;
        map.end()
    }
}

impl<'de, K, T> Deserialize<'de> for KeyedOptions<K, T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Settings(PhantomData))
    }
}

struct Settings<K, T>(PhantomData<fn() -> (K, T)>);

impl<'de, K, T> Visitor<'de> for Settings<K, T> {
    type Value = KeyedOptions<K, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the options of a keyed pool by their names")
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
        let (mut limit, mut unused, mut per_key) = (None, None::<Time>, None);
        read_map(map, NAMES, |name, map| {
            match name {
                "max_connections" => fill(&mut limit, "max_connections", map)?,
                "key_timeout" => fill(&mut unused, "key_timeout", map)?,
                "per_key" => fill(&mut per_key, "per_key", map)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let mut options = KeyedOptions::new();
        options.max_connections = limit.unwrap_or(options.max_connections);
        options.key_timeout = unused.map_or(options.key_timeout, |time| time.0);
        options.per_key = per_key.unwrap_or(options.per_key);
        Ok(options)
    }
}
