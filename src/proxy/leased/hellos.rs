//! What the children of `exclusive` mode said of themselves, by the revision that they were asked for.
//!
//! Promise: a client is led to children that speak its revision, as far as the last start of each kind showed what they
//! speak. Cost: a load for each revision.

use crate::proxy::http::Version;
use crate::proxy::shared::Hello;
use crate::sync::{Arc, ArcSwapOption};

/// The last that was said, for each revision.
#[derive(Default)]
pub struct Hellos([ArcSwapOption<Hello>; Version::ALL.len()]);

impl Hellos {
    /// Notes what a child says that was asked for this revision; the server may be another one by now.
    pub fn note(&self, asked: Version, hello: Arc<Hello>) {
        self.0[asked as usize].store(Some(hello));
    }

    /// What was said, if anything was.
    pub fn known(&self, asked: Version) -> Option<Arc<Hello>> {
        self.0[asked as usize].load_full()
    }

    /// What a child is to be asked for that serves a client of this revision. A server whose latest is older has nothing
    /// else to answer to those that it does not know, and one that knows no handshake answers all of them alike.
    pub fn to_ask(&self, wanted: Version) -> Version {
        let latest = Version::LATEST;
        let of_those = |fits: fn(&Hello, Version) -> bool| {
            let mut newest_first = Version::ALL.into_iter().rev();
            newest_first.find(|asked| self.is(*asked, |hello| fits(hello, wanted)))
        };
        of_those(|hello, _| hello.is_modern)
            .or_else(|| of_those(Hello::speaks))
            .or_else(|| {
                self.is(latest, |hello| hello.version < wanted)
                    .then_some(latest)
            })
            .unwrap_or(wanted)
    }

    fn is(&self, asked: Version, so: impl FnOnce(&Hello) -> bool) -> bool {
        let said = self.0[asked as usize].load();
        said.as_ref().is_some_and(|hello| so(hello))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Version::*;

    fn says(version: Version) -> Arc<Hello> {
        let answer = format!(
            r#"{{"result":{{"protocolVersion":"{}"}}}}"#,
            version.as_str()
        );
        Arc::new(Hello::read(answer.as_bytes()).unwrap())
    }

    fn to_ask(hellos: &Hellos) -> [Version; 4] {
        Version::ALL.map(|wanted| hellos.to_ask(wanted))
    }

    #[test]
    fn a_client_is_led_to_children_that_speak_its_revision() {
        let hellos = Hellos::default();
        assert_eq!(to_ask(&hellos), Version::ALL, "nothing is known");
        hellos.note(V2025_11_25, says(V2025_11_25));
        assert_eq!(to_ask(&hellos), Version::ALL);
        hellos.note(V2025_11_25, says(V2025_06_18));
        let older = [V2024_11_05, V2025_03_26, V2025_11_25, V2025_11_25];
        assert_eq!(to_ask(&hellos), older, "nothing newer than that is there");
        hellos.note(V2024_11_05, says(V2025_03_26));
        let other = [V2024_11_05, V2024_11_05, V2025_11_25, V2025_11_25];
        assert_eq!(to_ask(&hellos), other, "the oldest is not spoken");
        hellos.note(V2025_11_25, says(V2025_03_26));
        let both = [V2024_11_05, V2025_11_25, V2025_11_25, V2025_11_25];
        assert_eq!(to_ask(&hellos), both, "two kinds say the same");
    }

    #[test]
    fn a_server_without_handshakes_has_one_kind_of_children() {
        let hellos = Hellos::default();
        let discovered = br#"{"result":{"supportedVersions":["2026-07-28"]}}"#;
        let modern = Arc::new(Hello::discovered(discovered).unwrap());
        hellos.note(V2025_03_26, modern);
        assert_eq!(to_ask(&hellos), [V2025_03_26; 4]);
        hellos.note(V2025_03_26, says(V2025_03_26));
        assert_eq!(to_ask(&hellos), Version::ALL, "it is another server by now");
    }
}
