//! Rows, values and statements of a database that answers nothing.
//!
//! Promise: they type-check; no case ever makes one.
//! Cost: none.

use std::borrow::Cow;
use std::fmt;

use either::Either;
use sqlx_core::arguments::{Arguments, IntoArguments};
use sqlx_core::column::{Column, ColumnIndex};
use sqlx_core::encode::Encode;
use sqlx_core::error::{BoxDynError, Error};
use sqlx_core::impl_statement_query;
use sqlx_core::row::Row;
use sqlx_core::statement::Statement;
use sqlx_core::type_info::TypeInfo;
use sqlx_core::types::Type;
use sqlx_core::value::{Value, ValueRef};

use super::database::Zeros;

/// A row, a column, a value and a statement: all of them empty.
#[derive(Clone, Debug)]
pub struct Blank;

/// The result of a query, and the arguments of one.
#[derive(Default)]
pub struct Blanks;

/// The only type of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Kind;

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("blank")
    }
}

impl TypeInfo for Kind {
    fn is_null(&self) -> bool {
        true
    }

    fn name(&self) -> &str {
        "blank"
    }
}

impl Row for Blank {
    type Database = Zeros;

    fn columns(&self) -> &[Blank] {
        &[]
    }

    fn try_get_raw<I: ColumnIndex<Self>>(&self, _index: I) -> Result<Blank, Error> {
        Err(Error::RowNotFound)
    }
}

impl Column for Blank {
    type Database = Zeros;

    fn ordinal(&self) -> usize {
        0
    }

    fn name(&self) -> &str {
        "blank"
    }

    fn type_info(&self) -> &Kind {
        &Kind
    }
}

impl Value for Blank {
    type Database = Zeros;

    fn as_ref(&self) -> Blank {
        Self
    }

    fn type_info(&self) -> Cow<'_, Kind> {
        Cow::Owned(Kind)
    }

    fn is_null(&self) -> bool {
        true
    }
}

impl<'r> ValueRef<'r> for Blank {
    type Database = Zeros;

    fn to_owned(&self) -> Blank {
        Self
    }

    fn type_info(&self) -> Cow<'_, Kind> {
        Cow::Owned(Kind)
    }

    fn is_null(&self) -> bool {
        true
    }
}

impl<'q> Statement<'q> for Blank {
    type Database = Zeros;

    fn to_owned(&self) -> Blank {
        Self
    }

    fn sql(&self) -> &str {
        ""
    }

    fn parameters(&self) -> Option<Either<&[Kind], usize>> {
        None
    }

    fn columns(&self) -> &[Blank] {
        &[]
    }

    impl_statement_query!(Blanks);
}

impl<'q> Arguments<'q> for Blanks {
    type Database = Zeros;

    fn reserve(&mut self, _additional: usize, _size: usize) {}

    fn add<T>(&mut self, _value: T) -> Result<(), BoxDynError>
    where
        T: 'q + Encode<'q, Zeros> + Type<Zeros>,
    {
        Ok(())
    }

    fn len(&self) -> usize {
        0
    }
}

impl<'q> IntoArguments<'q, Zeros> for Blanks {
    fn into_arguments(self) -> Self {
        self
    }
}

impl Extend<Self> for Blanks {
    fn extend<I: IntoIterator<Item = Self>>(&mut self, _more: I) {}
}
