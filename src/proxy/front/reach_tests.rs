//! What is known of addresses.

use super::{Looked, Reach};

fn looked(upstream: &str, failures: u64, error: Option<&str>) -> Looked {
    Looked {
        address: (upstream.into(), "http://a:1/".into()),
        failures,
        error: error.map(Into::into),
    }
}

#[test]
fn two_upstreams_with_one_url_do_not_have_it_looked_at_for_ever() {
    let reach = Reach::default();
    let looks = [looked("one", 3, None), looked("two", 0, None)];
    for look in &looks {
        assert!(reach.is_due(&look.address, look.failures));
        assert!(!reach.note(look), "what works is no news at first");
    }
    for look in &looks {
        assert!(!reach.is_due(&look.address, look.failures));
    }
    assert!(reach.is_due(&looks[1].address, 1), "it failed somebody");
}

#[test]
fn an_address_is_told_of_when_it_goes_and_when_it_comes_back() {
    let reach = Reach::default();
    let (gone, back) = (looked("one", 0, Some("refused")), looked("one", 0, None));
    assert!(reach.note(&gone));
    assert!(!reach.note(&gone));
    assert_eq!(
        reach.error("one", "http://a:1/").as_deref(),
        Some("refused")
    );
    assert_eq!(reach.error("two", "http://a:1/"), None);
    assert!(reach.note(&back));
    assert!(!reach.note(&back));
}
