//! Which lists changed, for who is told of it later.

use std::ops::{BitOr, BitOrAssign};

use bytes::Bytes;

use super::subscription::LISTS;

/// A bit for each list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes(u8);

const _: () = assert!(LISTS.len() <= u8::BITS as usize);

impl Changes {
    /// That of which this notification tells; nothing where it is of another kind.
    pub fn of(method: &str) -> Self {
        let known = LISTS.iter().position(|(_, known)| *known == method);
        Self(known.map_or(0, |kind| 1 << kind))
    }

    /// Whether there is nothing.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The notifications that tell of them, by name and as messages.
    pub fn messages(self) -> impl Iterator<Item = (&'static str, Bytes)> {
        let methods = LISTS.iter().map(|(_, method)| *method);
        let methods = methods.filter(move |method| self.0 & Self::of(method).0 != 0);
        methods.map(|method| {
            let message = format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#);
            (method, message.into())
        })
    }
}

impl BitOr for Changes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Changes {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}
