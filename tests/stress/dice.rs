//! Random choices that a seed repeats.
//! Algorithm: G. Marsaglia, "Xorshift RNGs", 2003.

pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        // Spread small seeds; zero would stay zero.
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Dice for somebody else, different each time.
    pub fn fork(&mut self) -> Self {
        Self::new(self.next())
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 3
    }
}
