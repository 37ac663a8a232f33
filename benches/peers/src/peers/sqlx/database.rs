//! A database whose connection is a zero.
//!
//! Promise: connecting, pinging and closing do nothing; the traits that sqlx's pool asks for are
//! there and nothing else works.
//! Cost: a boxed future a ping, as every driver of sqlx has.

use std::borrow::Cow;
use std::str::FromStr;

use futures_core::future::BoxFuture;
use log::LevelFilter;
use sqlx_core::Url;
use sqlx_core::connection::{ConnectOptions, Connection};
use sqlx_core::database::Database;
use sqlx_core::error::Error;
use sqlx_core::transaction::{Transaction, TransactionManager};

use super::rows::{Blank, Blanks, Kind};
use crate::harness::opening;

/// The database.
#[derive(Debug)]
pub struct Zeros;

impl Database for Zeros {
    type Connection = Zero;
    type TransactionManager = NoTransactions;
    type Row = Blank;
    type QueryResult = Blanks;
    type Column = Blank;
    type TypeInfo = Kind;
    type Value = Blank;
    type ValueRef<'r> = Blank;
    type Arguments<'q> = Blanks;
    type ArgumentBuffer<'q> = ();
    type Statement<'q> = Blank;

    const NAME: &'static str = "zeros";
    const URL_SCHEMES: &'static [&'static str] = &["zeros"];
}

/// A connection.
pub struct Zero;

impl Connection for Zero {
    type Database = Zeros;
    type Options = Nowhere;

    fn close(self) -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn close_hard(self) -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn ping(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn begin(&mut self) -> BoxFuture<'_, Result<Transaction<'_, Zeros>, Error>> {
        Transaction::begin(self, None)
    }

    fn shrink_buffers(&mut self) {}

    fn flush(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn should_flush(&self) -> bool {
        false
    }
}

/// Where it connects to.
#[derive(Clone, Debug)]
pub struct Nowhere;

impl FromStr for Nowhere {
    type Err = Error;

    fn from_str(_url: &str) -> Result<Self, Error> {
        Ok(Self)
    }
}

impl ConnectOptions for Nowhere {
    type Connection = Zero;

    fn from_url(_url: &Url) -> Result<Self, Error> {
        Ok(Self)
    }

    fn connect(&self) -> BoxFuture<'_, Result<Zero, Error>> {
        Box::pin(async {
            opening().await;
            Ok(Zero)
        })
    }

    fn log_statements(self, _level: LevelFilter) -> Self {
        self
    }

    fn log_slow_statements(self, _level: LevelFilter, _time: std::time::Duration) -> Self {
        self
    }
}

/// Begins nothing.
pub struct NoTransactions;

impl TransactionManager for NoTransactions {
    type Database = Zeros;

    fn begin<'conn>(
        _connection: &'conn mut Zero,
        _statement: Option<Cow<'static, str>>,
    ) -> BoxFuture<'conn, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn commit(_connection: &mut Zero) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn rollback(_connection: &mut Zero) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn start_rollback(_connection: &mut Zero) {}

    fn get_transaction_depth(_connection: &Zero) -> usize {
        0
    }
}
