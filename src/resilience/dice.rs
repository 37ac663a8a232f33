//! Numbers for jitter: no secret, only different from each other.

/// A xorshift generator (Marsaglia, "Xorshift RNGs", 2003).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// A generator; any seed will do.
    pub(super) fn new(seed: u64) -> Self {
        // Spreads neighbouring seeds; a state of zero would stay zero.
        Self((seed.wrapping_add(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1)
    }

    /// A number from 0 up to, not including, 1.
    pub(super) fn fraction(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The upper 53 bits fill a float's fraction exactly.
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}
