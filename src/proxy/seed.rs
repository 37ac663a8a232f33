//! A number that differs from process to process and from call to call, for pauses that are to differ.

/// A random number; without random numbers zero: then all pause alike, and nothing else breaks of it.
pub fn seed() -> u64 {
    let mut random = [0_u8; 8];
    let _ = getrandom::fill(&mut random);
    u64::from_ne_bytes(random)
}
