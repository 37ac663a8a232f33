//! The one seam to the outside: how connections are opened, tested and closed.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use super::resource::{BoxError, PoolableResource};

/// A boxed future that may borrow.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a dial is told.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ConnectContext {
    /// Dials of this pool that failed in a row before this one.
    pub failures: u32,
    /// The generation that the connection will belong to.
    pub generation: u32,
}

/// Opens, tests and closes connections of one kind.
///
/// For a type that knows its own health, [`PoolableResource`] and
/// [`connect_with`](super::PoolOptions::connect_with) are shorter.
pub trait Manager: Send + Sync + 'static {
    /// What is pooled.
    type Connection: Send + 'static;
    /// Why a connection could not be opened or failed its check. Wrap a passing failure in
    /// [`Transient`](super::Transient): then callers wait for the next attempt.
    type Error: Into<BoxError>;

    /// Whether [`is_healthy`](Self::is_healthy) says anything. `false` spares its call on a hit.
    const HAS_HEALTH_TEST: bool = true;

    /// Whether [`close`](Self::close) has something to wait for. `false` drops in place.
    const HAS_ASYNC_CLOSE: bool = true;

    /// Opens a connection. Runs in a task of the pool's, within `connect_timeout`.
    ///
    /// # Cancel safety
    ///
    /// Dropped when the time is over or the pool is closed.
    fn connect(
        &self,
        context: &ConnectContext,
    ) -> impl Future<Output = Result<Self::Connection, Self::Error>> + Send;

    /// Tests a connection that was idle for `check_after_idle`. An error retires it.
    fn check(
        &self,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = connection;
        async { Ok(()) }
    }

    /// Tells from what is already known whether a connection may be handed out: a load or two.
    fn is_healthy(&self, connection: &Self::Connection) -> bool {
        let _ = connection;
        true
    }

    /// Ends a connection in an orderly way; dropped at `close_timeout`.
    fn close(&self, connection: Self::Connection) -> impl Future<Output = ()> + Send {
        async { drop(connection) }
    }
}

/// A factory and the resource's own methods as a manager.
pub(crate) struct FactoryManager<F, T, E> {
    factory: F,
    made: PhantomData<fn() -> (T, E)>,
}

impl<F, T, E> FactoryManager<F, T, E> {
    pub(crate) fn new(factory: F) -> Self {
        Self {
            factory,
            made: PhantomData,
        }
    }
}

impl<F, Fut, T, E> Manager for FactoryManager<F, T, E>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send,
    T: PoolableResource,
    E: Into<BoxError> + 'static,
{
    type Connection = T;
    type Error = BoxError;

    const HAS_HEALTH_TEST: bool = T::HAS_HEALTH_TEST;
    const HAS_ASYNC_CLOSE: bool = T::HAS_ASYNC_CLOSE;

    async fn connect(&self, _: &ConnectContext) -> Result<T, BoxError> {
        (self.factory)().await.map_err(Into::into)
    }

    async fn check(&self, connection: &mut T) -> Result<(), BoxError> {
        connection.check().await
    }

    fn is_healthy(&self, connection: &T) -> bool {
        connection.is_healthy()
    }

    async fn close(&self, connection: T) {
        connection.close().await;
    }
}

/// A manager whose type is forgotten, so that `Pool<T>` names the connection only.
pub(crate) trait AnyManager<T>: Send + Sync {
    fn connect<'a>(&'a self, context: &'a ConnectContext) -> BoxFuture<'a, Result<T, BoxError>>;
    fn check<'a>(&'a self, connection: &'a mut T) -> BoxFuture<'a, Result<(), BoxError>>;
    fn is_healthy(&self, connection: &T) -> bool;
    fn close<'a>(&'a self, connection: T) -> BoxFuture<'a, ()>
    where
        T: 'a;
}

impl<M: Manager> AnyManager<M::Connection> for M {
    fn connect<'a>(
        &'a self,
        context: &'a ConnectContext,
    ) -> BoxFuture<'a, Result<M::Connection, BoxError>> {
        Box::pin(async move { Manager::connect(self, context).await.map_err(Into::into) })
    }

    fn check<'a>(
        &'a self,
        connection: &'a mut M::Connection,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async move { Manager::check(self, connection).await.map_err(Into::into) })
    }

    fn is_healthy(&self, connection: &M::Connection) -> bool {
        Manager::is_healthy(self, connection)
    }

    fn close<'a>(&'a self, connection: M::Connection) -> BoxFuture<'a, ()>
    where
        M::Connection: 'a,
    {
        Box::pin(Manager::close(self, connection))
    }
}
