//! Where a message's body ends, by the one reading that is allowed.
//!
//! Promise: what two readers could see in two ways is refused: two lengths, a length beside chunks, a
//! coding that is not `chunked` alone, chunks in HTTP/1.0.

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    Close,
}

/// Why a framing is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclear {
    /// Two readings, or none.
    Bad(&'static str),
    /// A transfer coding that is not known.
    Coding,
}

/// What the header fields say of it, gathered one by one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said {
    length: Option<u64>,
    chunked: bool,
}

impl Said {
    /// A `Content-Length`.
    pub fn length(&mut self, value: &[u8]) -> Result<(), Unclear> {
        if self.length.is_some() {
            return Err(Unclear::Bad("there is more than one Content-Length"));
        }
        // Nineteen digits always fit.
        let plain = !value.is_empty() && value.len() <= 19 && value.iter().all(u8::is_ascii_digit);
        if !plain {
            return Err(Unclear::Bad("Content-Length is not a plain number"));
        }
        let digits = value.iter().map(|digit| u64::from(digit - b'0'));
        self.length = Some(digits.fold(0, |sum, digit| sum * 10 + digit));
        Ok(())
    }

    /// A `Transfer-Encoding`.
    pub fn coding(&mut self, value: &[u8]) -> Result<(), Unclear> {
        for coding in value.split(|byte| *byte == b',') {
            let coding = coding.trim_ascii();
            if coding.is_empty() {
                return Err(Unclear::Bad("Transfer-Encoding names no coding"));
            }
            if !coding.eq_ignore_ascii_case(b"chunked") {
                return Err(Unclear::Coding);
            }
            if std::mem::replace(&mut self.chunked, true) {
                return Err(Unclear::Bad("Transfer-Encoding says chunked twice"));
            }
        }
        Ok(())
    }

    /// The framing of a message; `otherwise` where nothing was said.
    pub fn framing(self, is_old: bool, otherwise: Framing) -> Result<Framing, Unclear> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Unclear::Bad(
                "there is a Content-Length beside Transfer-Encoding",
            )),
            (true, None) if is_old => Err(Unclear::Bad("HTTP/1.0 has no Transfer-Encoding")),
            (true, None) => Ok(Framing::Chunked),
            (false, Some(length)) => Ok(Framing::Length(length)),
            (false, None) => Ok(otherwise),
        }
    }
}

impl Framing {
    /// Whether not a byte follows the head.
    pub fn is_empty(self) -> bool {
        matches!(self, Self::Empty | Self::Length(0))
    }
}
