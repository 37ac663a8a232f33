//! A TLS stream, whose peer says things that nobody asked for: session tickets.
//!
//! The certificate and its key are of no use elsewhere: they were made for `watched.test`, which is no
//! name of anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use plunge::transport::Layered;
use plunge::watch::{IdleWatch, stats};
use plunge::{BoxError, Pool, PoolOptions, PoolableResource};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName,
};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::server::{alone, fill, until, watched};

const CERTIFICATE: &[u8] = include_bytes!("certificate/certificate.der");
const KEY: &[u8] = include_bytes!("certificate/key.der");

type Client = Layered<client::TlsStream<TcpStream>>;
type Theirs = UnboundedReceiver<server::TlsStream<TcpStream>>;

/// A server that passes on its side of each connection, once its handshake is over.
async fn serve() -> (SocketAddr, Theirs) {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(KEY));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(CERTIFICATE)], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (pass, theirs) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = acceptor.accept(stream).await.unwrap();
            // The tickets, which wait for the next write otherwise.
            stream.flush().await.unwrap();
            if pass.send(stream).is_err() {
                return;
            }
        }
    });
    (address, theirs)
}

async fn connect(address: SocketAddr) -> Result<Client, BoxError> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(CERTIFICATE))?;
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("watched.test")?;
    let stream = connector.connect(name, stream).await?;
    Ok(Layered::new(stream, |stream| stream.get_ref().0))
}

fn options() -> PoolOptions<Client> {
    let options = PoolOptions::new().max_connections(2);
    options.check_after_idle(Duration::MAX)
}

fn pool(address: SocketAddr) -> Pool<Client> {
    options()
        .watch(IdleWatch::new().cold_after(Duration::from_millis(1)))
        .connect_with(move || connect(address))
        .unwrap()
}

#[tokio::test]
async fn tickets_are_no_death_of_a_tls_stream_and_its_end_is() {
    let _alone = alone();
    let (address, mut theirs) = serve().await;
    let pool = pool(address);
    let before = stats().events;
    fill(&pool, 2).await;
    let (mut first, mut second) = (theirs.recv().await.unwrap(), theirs.recv().await.unwrap());
    watched(2).await;
    until("the tickets are heard", || stats().events >= before + 2).await;
    assert_eq!((stats().watched, pool.stats().retired), (2, 0));
    first.shutdown().await.unwrap();
    until("its end is heard", || pool.stats().retired == 1).await;
    assert_eq!(watched(1).await.watched, 1);
    // Without a word of goodbye.
    second.get_mut().0.set_zero_linger().unwrap();
    drop(second);
    until("it is gone", || pool.stats().open == 0).await;
    assert_eq!(pool.stats().seen_dying, 2);
}

#[tokio::test]
async fn a_tls_stream_that_was_watched_is_used_again() {
    let _alone = alone();
    let (address, mut theirs) = serve().await;
    let pool = pool(address);
    for _ in 0..3 {
        let mut ours = pool.acquire().await.unwrap();
        if pool.stats().acquired == 1 {
            let mut theirs = theirs.recv().await.unwrap();
            tokio::spawn(async move {
                let mut asked = [0; 3];
                while theirs.read_exact(&mut asked).await.is_ok() {
                    theirs.write_all(b"answer").await.unwrap();
                    theirs.flush().await.unwrap();
                }
            });
        }
        let mut answer = [0; 6];
        ours.write_all(b"ask").await.unwrap();
        ours.flush().await.unwrap();
        ours.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
        drop(ours);
        watched(1).await;
    }
    assert_eq!((pool.stats().opened, pool.stats().retired), (1, 0));
}

#[tokio::test]
async fn a_tls_stream_tells_of_its_end_by_a_load_though_nobody_watches_it() {
    let _alone = alone();
    let (address, mut theirs) = serve().await;
    let pool = options().connect_with(move || connect(address)).unwrap();
    let ours = pool.acquire().await.unwrap();
    let tcp = |ours: &Client| ours.get_ref().0.ready(Interest::READABLE).now_or_never();
    until("the tickets are heard", || tcp(&ours).is_some()).await;
    assert!(ours.is_healthy(), "they are no death");
    let mut theirs = theirs.recv().await.unwrap();
    theirs.shutdown().await.unwrap();
    until("its end is heard", || !ours.is_healthy()).await;
    drop(ours);
    assert_eq!(pool.stats().open, 0);
}
