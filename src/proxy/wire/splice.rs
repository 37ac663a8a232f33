//! Replacing a few spans of a message and copying the rest as it is.
//!
//! Cost: one allocation of the exact size and one copy.

use std::ops::Range;

use bytes::Bytes;

/// Up to two replacements in one message.
#[derive(Default)]
pub struct Splice<'a> {
    cuts: [Option<(Range<usize>, &'a [u8])>; 2],
}

impl<'a> Splice<'a> {
    /// Replaces one span.
    pub fn one(span: Range<usize>, by: &'a [u8]) -> Self {
        Self {
            cuts: [Some((span, by)), None],
        }
    }

    /// Replaces a second span, which does not overlap the first.
    pub fn and(mut self, span: Range<usize>, by: &'a [u8]) -> Self {
        self.cuts[1] = Some((span, by));
        if let [Some((first, _)), Some((second, _))] = &self.cuts
            && second.start < first.start
        {
            self.cuts.swap(0, 1);
        }
        self
    }

    /// The message with its spans replaced.
    pub fn apply(&self, message: &[u8]) -> Bytes {
        let added: usize = self.cuts.iter().flatten().map(|(_, by)| by.len()).sum();
        let mut out = Vec::with_capacity(message.len() + added);
        let mut from = 0;
        for (span, by) in self.cuts.iter().flatten() {
            out.extend_from_slice(&message[from..span.start]);
            out.extend_from_slice(by);
            from = span.end;
        }
        out.extend_from_slice(&message[from..]);
        out.into()
    }
}

/// A JSON string of the text.
pub fn quote(text: &str) -> String {
    // Writing a string into memory cannot fail; an empty string keeps the message valid if it did.
    serde_json::to_string(text).unwrap_or_else(|_| String::from("\"\""))
}
