//! Output cut into lines, however it arrives.

use bytes::Bytes;

use crate::transport::subprocess::buffer::{LineBuffer, TooLong, is_closed_json, starts_like_json};

fn read(buffer: &mut LineBuffer, bytes: &[u8]) {
    buffer.for_read().extend_from_slice(bytes);
    buffer.came(bytes.len());
}

fn lines(buffer: &mut LineBuffer) -> Vec<Bytes> {
    std::iter::from_fn(|| buffer.next_line().unwrap()).collect()
}

#[test]
fn lines_are_the_same_however_the_bytes_are_cut() {
    let output = b"one\n\n{\"two\":2}\r\n\xff\xfe\n\rthree\n";
    for size in 1..=output.len() {
        let mut buffer = LineBuffer::new(1000);
        let mut found = Vec::new();
        for chunk in output.chunks(size) {
            read(&mut buffer, chunk);
            found.extend(lines(&mut buffer));
        }
        let expected: [&[u8]; 5] = [b"one", b"", b"{\"two\":2}", b"\xff\xfe", b"\rthree"];
        assert_eq!(found, expected, "chunks of {size}");
        assert!(buffer.rest().is_empty());
    }
}

#[test]
fn rest_is_what_follows_the_last_line_end() {
    let mut buffer = LineBuffer::new(1000);
    read(&mut buffer, b"one\ntw");
    assert_eq!(lines(&mut buffer), ["one"]);
    read(&mut buffer, b"o");
    assert!(lines(&mut buffer).is_empty());
    assert_eq!(buffer.rest(), "two");
    assert!(buffer.rest().is_empty());
}

#[test]
fn line_over_the_limit_is_an_error_with_and_without_its_end() {
    let mut buffer = LineBuffer::new(4);
    read(&mut buffer, b"1234\n12345\n");
    assert_eq!(buffer.next_line(), Ok(Some(Bytes::from_static(b"1234"))));
    assert_eq!(buffer.next_line(), Err(TooLong));

    let mut buffer = LineBuffer::new(4);
    read(&mut buffer, b"1234");
    assert_eq!(buffer.next_line(), Ok(None));
    read(&mut buffer, b"5");
    assert_eq!(buffer.next_line(), Err(TooLong));
}

#[test]
fn memory_of_a_long_line_is_given_back() {
    let mut buffer = LineBuffer::new(10 << 20);
    read(&mut buffer, &vec![b'x'; 8 << 20]);
    read(&mut buffer, b"\nnext");
    assert_eq!(lines(&mut buffer).len(), 1);
    assert!(buffer.for_read().capacity() < 1 << 20);
    assert_eq!(buffer.rest(), "next");
}

#[test]
fn json_is_told_by_its_first_byte_and_its_brackets() {
    assert!(starts_like_json(b"  {\"a\":1}") && starts_like_json(b"[]"));
    assert!(!starts_like_json(b"ready") && !starts_like_json(b"") && !starts_like_json(b" 7"));
    for whole in [
        r#"{"a":[1,{"b":"}]"}]}"#,
        r#"["\"]"]"#,
        "{}",
        r#"{"a":"\\"}"#,
    ] {
        assert!(is_closed_json(whole.as_bytes()), "{whole}");
    }
    for cut in [r#"{"a":[1,{"b":"}]"}]"#, r#"["\"]"#, "{", r#"{"a":"b}"#] {
        assert!(!is_closed_json(cut.as_bytes()), "{cut}");
    }
}
