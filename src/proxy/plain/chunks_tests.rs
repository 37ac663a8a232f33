//! Chunks in pieces of any length are read as in one.

use proptest::prelude::*;

use super::{BadChunk, Chunks};

/// Reads a body that comes in these pieces: its bytes, its trailers, and what is left of the last piece.
fn read(pieces: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>, usize), BadChunk> {
    let (mut chunks, mut body) = (Chunks::new(), Vec::new());
    let mut left = 0;
    for piece in pieces {
        let mut at = 0;
        while at < piece.len() && !chunks.is_done() {
            let found = chunks.next(&piece[at..])?;
            assert!(found.consumed > 0, "each look moves on");
            body.extend_from_slice(&piece[at..][found.data]);
            at += found.consumed;
        }
        left += piece.len() - at;
    }
    let mut trailers = Vec::new();
    match chunks.is_done() {
        true => chunks.write_trailers(&mut trailers)?,
        false => return Err(BadChunk),
    }
    Ok((body, trailers, left))
}

#[test]
fn a_body_ends_with_its_last_byte_and_not_after() {
    let (body, trailers, left) = read(&[b"3\r\nabc\r\n0\r\nx: y\r\n\r\nGET /"]).unwrap();
    assert_eq!(
        (body, trailers, left),
        (b"abc".to_vec(), b"x: y\r\n".to_vec(), 5)
    );
}

#[test]
fn fields_that_change_the_reading_are_no_trailers() {
    let text = b"0\r\nContent-Length: 1\r\nTransfer-Encoding: x\r\nHost: y\r\nConnection: z\r\nx: y\r\n\r\n";
    assert_eq!(read(&[text]).unwrap().1, b"x: y\r\n");
}

proptest! {
    #[test]
    fn the_pieces_do_not_matter(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut text = Vec::new();
        for part in &parts {
            text.extend_from_slice(format!("{:X};x=\"y\"\r\n", part.len()).as_bytes());
            text.extend_from_slice(part);
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"000\r\nx: y\r\n\r\n");
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|two| &text[two[0]..two[1]]).collect();
        let (body, trailers, left) = read(&pieces).unwrap();
        prop_assert_eq!(body, parts.concat());
        prop_assert_eq!(trailers, b"x: y\r\n");
        prop_assert_eq!(left, 0);
    }

    #[test]
    fn noise_is_refused_or_waited_for_and_never_read_twice(
        noise in prop::collection::vec(prop::sample::select(b"0123aF;= \t\r\n\0\x80x:".to_vec()), 0..60),
        cut in any::<prop::sample::Index>(),
    ) {
        let at = cut.index(noise.len() + 1);
        prop_assert_eq!(read(&[&noise]), read(&[&noise[..at], &noise[at..]]));
    }
}
