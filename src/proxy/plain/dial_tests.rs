//! Why a dial failed.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use super::{DialError, dial, explained, has_way, is_own, telling};
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

#[test]
fn of_several_addresses_the_one_that_is_away_tells_and_not_the_family_that_is_missing() {
    use rustix::io::Errno;
    let error = |code: Errno| io::Error::from_raw_os_error(code.raw_os_error());
    let told = telling(Some(error(Errno::CONNREFUSED)), error(Errno::ADDRNOTAVAIL));
    assert_eq!(told.kind(), io::ErrorKind::ConnectionRefused);
    let told = telling(Some(error(Errno::ADDRNOTAVAIL)), error(Errno::CONNREFUSED));
    assert_eq!(told.kind(), io::ErrorKind::ConnectionRefused);
    assert!(is_own(&telling(
        Some(error(Errno::MFILE)),
        error(Errno::MFILE)
    )));
}

#[test]
fn where_this_machine_has_an_address_it_is_a_port_that_it_lacks() {
    use rustix::io::Errno;
    let lack = || io::Error::from_raw_os_error(Errno::ADDRNOTAVAIL.raw_os_error());
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    assert!(is_own(&explained(lack(), loopback)));
    // An address of a link, without saying which: there is none to reach it from.
    let nowhere = "[fe80::1]:1".parse().unwrap();
    assert!(!has_way(nowhere));
    assert!(!is_own(&explained(lack(), nowhere)));
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
