//! Why a dial failed.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use super::{DialError, dial};
use crate::sync::Arc;
use crate::transport::http::HttpTarget;

fn failed(source: io::Error) -> DialError {
    let target = HttpTarget::parse("http://a").unwrap();
    DialError::new(Arc::new(target), source)
}

#[test]
fn what_this_machine_lacks_is_told_from_what_an_upstream_does() {
    use rustix::io::Errno;
    let is_own = |code: Errno| failed(io::Error::from_raw_os_error(code.raw_os_error())).is_own();
    for lack in [
        Errno::MFILE,
        Errno::NFILE,
        Errno::ADDRNOTAVAIL,
        Errno::NOBUFS,
        Errno::NOMEM,
    ] {
        assert!(is_own(lack), "{lack}");
    }
    for refusal in [Errno::CONNREFUSED, Errno::HOSTUNREACH, Errno::TIMEDOUT] {
        assert!(!is_own(refusal), "{refusal}");
    }
}

#[tokio::test]
async fn a_dial_says_where_it_went_and_what_came_of_it() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let target = Arc::new(HttpTarget::parse(&url).unwrap());
    let limit = Duration::from_secs(10);
    assert!(dial(&target, limit).await.is_ok());
    drop(listener);
    let error = dial(&target, limit).await.unwrap_err();
    assert!(!error.is_own() && !error.is_late());
    let text = error.to_string();
    assert!(text.contains(&url) && text.contains("refused"), "{text}");
}
