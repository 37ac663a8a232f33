//! Options of a keyed pool: the global limit, and the settings of each key's own pool.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::time::Duration;

use super::pool::KeyedPool;
use crate::pool::error::OptionsError;
use crate::pool::handle::{Commune, Pool};
use crate::pool::manager::{FactoryManager, Manager};
use crate::pool::options::PoolOptions;
use crate::pool::resource::{BoxError, PoolableResource};

/// Settings of one key's pool, made from those that all have.
pub(super) type Override<K, T> =
    Box<dyn Fn(&K, PoolOptions<T>) -> PoolOptions<T> + Send + Sync + 'static>;

/// Opens one key's pool.
pub(super) type Opener<K, T> = Box<
    dyn Fn(&K, PoolOptions<T>, Commune<T>) -> Result<Pool<T>, OptionsError> + Send + Sync + 'static,
>;

/// Builds a [`KeyedPool`].
///
/// With the feature `serde` read and written as [`PoolOptions`] are, those of each key under `per_key`;
/// [`override_key`](Self::override_key) is code, and left out.
#[must_use = "a keyed pool is built by `connect_with` or `manager`"]
pub struct KeyedOptions<K, T> {
    pub(super) max_connections: u32,
    pub(super) key_timeout: Duration,
    pub(super) per_key: PoolOptions<T>,
    pub(super) override_key: Option<Override<K, T>>,
}

impl<K, T> KeyedOptions<K, T> {
    /// The defaults: 1,000 connections in all, 10 per key, empty keys forgotten after a minute.
    pub fn new() -> Self {
        Self {
            max_connections: 1_000,
            key_timeout: Duration::from_secs(60),
            per_key: PoolOptions::new(),
            override_key: None,
        }
    }

    /// How many connections may be open for all keys together. At least 1.
    pub fn max_connections(mut self, count: u32) -> Self {
        self.max_connections = count;
        self
    }

    /// After how long without connections and callers a key's pool is collected, at the latest
    /// twice that. A minute unless set.
    pub fn key_timeout(mut self, unused: Duration) -> Self {
        self.key_timeout = unused;
        self
    }

    /// The settings that each key's own pool begins with.
    ///
    /// `idle_order` is applied with one place for all threads, not one for each: a key's idle
    /// connections are few, and keys are many.
    pub fn per_key(mut self, options: PoolOptions<T>) -> Self {
        self.per_key = options;
        self
    }

    /// Settings of single keys: gets the key and the settings of all, returns that key's.
    /// Called when the key is first seen, and again after it was collected.
    pub fn override_key<F>(mut self, change: F) -> Self
    where
        F: Fn(&K, PoolOptions<T>) -> PoolOptions<T> + Send + Sync + 'static,
    {
        self.override_key = Some(Box::new(change));
        self
    }

    fn validate(&self) -> Result<(), OptionsError> {
        let refuse = |field, problem: &str| Err(OptionsError::new(field, problem));
        if self.max_connections == 0 {
            let problem = "is 0, so nothing could ever be acquired; set at least 1";
            return refuse("max_connections", problem);
        }
        if self.key_timeout.is_zero() {
            return refuse("key_timeout", "is zero; set a positive duration");
        }
        self.per_key.validate()
    }
}

impl<K, T> KeyedOptions<K, T>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + 'static,
{
    /// Builds a keyed pool of what `factory` makes for a key. Nothing is opened until it is needed.
    ///
    /// # Errors
    ///
    /// Options that contradict each other; the error names the field.
    pub fn connect_with<F, Fut, E>(self, factory: F) -> Result<KeyedPool<K, T>, OptionsError>
    where
        T: PoolableResource,
        F: Fn(&K) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        self.manager(move |key: &K| {
            let (factory, key) = (factory.clone(), key.clone());
            FactoryManager::new(move || factory(&key))
        })
    }

    /// Builds a keyed pool; `manager` makes the manager of a key's own pool.
    ///
    /// # Errors
    ///
    /// Options that contradict each other; the error names the field.
    pub fn manager<M, F>(self, manager: F) -> Result<KeyedPool<K, T>, OptionsError>
    where
        M: Manager<Connection = T>,
        F: Fn(&K) -> M + Send + Sync + 'static,
    {
        self.validate()?;
        let open: Opener<K, T> = Box::new(move |key, options, commune| {
            options.validate()?;
            Ok(Pool::build(options, manager(key), Some(commune)))
        });
        Ok(KeyedPool::build(self, open))
    }
}

impl<K, T> Default for KeyedOptions<K, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, T> fmt::Debug for KeyedOptions<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedOptions")
            .field("max_connections", &self.max_connections)
            .field("key_timeout", &self.key_timeout)
            .field("per_key", &self.per_key)
            .field("override_key", &self.override_key.is_some())
            .finish()
    }
}
