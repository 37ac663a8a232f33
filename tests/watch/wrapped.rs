//! Connections of foreign types: with a second handle of their socket, or a way to find it.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use plunge::watch::{IdleWatch, Watched, stats};
use plunge::{IdleBytes, Plain, PoolOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{Server, alone, fill, until, watched};

const SOON: Duration = Duration::from_millis(1);

/// Gives its socket to somebody else, as a client of HTTP does.
#[derive(Debug)]
struct Sender {
    closed: Arc<AtomicBool>,
    _stream: Arc<TcpStream>,
}

async fn connect(address: std::net::SocketAddr) -> io::Result<Watched<Sender>> {
    let stream = TcpStream::connect(address).await?;
    let socket = Watched::<Sender>::socket_of(&stream)?;
    let sender = Sender {
        closed: Arc::default(),
        _stream: Arc::new(stream),
    };
    let watched = Watched::new(sender, socket, IdleBytes::Harmless);
    Ok(watched.healthy_while(|sender| !sender.closed.load(SeqCst)))
}

#[tokio::test]
async fn harmless_bytes_are_no_death_and_the_end_after_them_is() {
    let _alone = alone();
    let server = Server::start().await;
    let address = server.address;
    let pool = PoolOptions::new()
        .watch(IdleWatch::new().cold_after(SOON))
        .connect_with(move || connect(address))
        .unwrap();
    fill(&pool, 2).await;
    let before = watched(2).await;
    let mut theirs = server.take();
    theirs[0].write_all(b"ticket").await.unwrap();
    until("it was heard", || stats().events > before.events).await;
    assert_eq!((stats().watched, pool.stats().retired), (2, 0));
    drop(theirs.remove(0));
    until("it is gone", || pool.stats().retired == 1).await;
    assert_eq!(stats().watched, 1);
}

#[tokio::test]
async fn its_own_word_on_its_health_counts() {
    let _alone = alone();
    let server = Server::start().await;
    let address = server.address;
    let pool = PoolOptions::new()
        .connect_with(move || connect(address))
        .unwrap();
    let held = pool.acquire().await.unwrap();
    held.closed.store(true, SeqCst);
    drop(held);
    assert_eq!(pool.stats().open, 0);
}

#[tokio::test]
async fn a_foreign_type_is_watched_by_a_function_that_finds_its_socket() {
    let _alone = alone();
    let server = Server::start().await;
    let address = server.address;
    let watch = IdleWatch::by(IdleBytes::Deadly, |plain: &Plain<(u8, TcpStream)>| {
        Some(plain.0.1.as_fd())
    });
    let pool = PoolOptions::new()
        .watch(watch.cold_after(SOON))
        .connect_with(move || async move {
            Ok::<_, io::Error>(Plain((1, TcpStream::connect(address).await?)))
        })
        .unwrap();
    fill(&pool, 1).await;
    watched(1).await;
    drop(server.take());
    until("it is gone", || pool.stats().open == 0).await;
    assert_eq!(pool.stats().seen_dying, 1);
}

/// A client of HTTP, which moves its stream into a task.
mod http {
    use http_body_util::{BodyExt, Empty};
    use hyper::Request;
    use hyper::body::Bytes;
    use hyper::client::conn::http1::{SendRequest, handshake};
    use hyper_util::rt::TokioIo;
    use plunge::watch::Watched;
    use plunge::{BoxError, IdleBytes};
    use tokio::net::TcpStream;

    pub type Client = Watched<SendRequest<Empty<Bytes>>>;

    pub async fn connect(address: std::net::SocketAddr) -> Result<Client, BoxError> {
        let stream = TcpStream::connect(address).await?;
        let socket = Client::socket_of(&stream)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let watched = Watched::new(sender, socket, IdleBytes::Deadly);
        Ok(watched.healthy_while(|sender| sender.is_ready()))
    }

    /// Asks for `/` and returns the body.
    pub async fn get(client: &mut Client) -> Bytes {
        let request = Request::get("/").header("host", "here");
        let request = request.body(Empty::new()).unwrap();
        let reply = client.send_request(request).await.unwrap();
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        client.ready().await.unwrap();
        body
    }
}

#[tokio::test]
async fn a_client_of_http_is_used_again_and_its_end_is_heard() {
    let _alone = alone();
    let server = Server::start().await;
    let address = server.address;
    let pool = PoolOptions::new()
        .max_connections(1)
        .watch(IdleWatch::new().cold_after(SOON))
        .connect_with(move || http::connect(address))
        .unwrap();
    for round in 0..3 {
        let mut held = pool.acquire().await.unwrap();
        let answering = async {
            if round == 0 {
                until("it is accepted", || server.accepted() == 1).await;
            }
            let mut theirs = server.take().pop().unwrap();
            let mut asked = [0; 512];
            assert!(theirs.read(&mut asked).await.unwrap() > 0);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            theirs.write_all(answer).await.unwrap();
            server.keep(theirs);
        };
        let (body, ()) = tokio::join!(http::get(&mut held), answering);
        assert_eq!(&*body, b"ok");
        drop(held);
        watched(1).await;
    }
    assert_eq!(pool.stats().opened, 1, "used again, watched or not");
    drop(server.take());
    until("it is gone", || pool.stats().open == 0).await;
}
