//! Command lines split as a shell would.

use crate::transport::CommandError;
use crate::transport::subprocess::words::split;

#[test]
fn words_are_those_of_a_shell_that_expands_nothing() {
    for (line, words) in [
        ("my-server --stdio", &["my-server", "--stdio"][..]),
        ("  a\tb \n", &["a", "b"]),
        ("'a b' \"c d\"", &["a b", "c d"]),
        ("a'b'\"c\"d", &["abcd"]),
        ("a '' \"\"", &["a", "", ""]),
        (r"a\ b \'c", &["a b", "'c"]),
        (r#""a\"b" "c\d" '\'"#, &["a\"b", r"c\d", r"\"]),
        ("echo $HOME *.rs ~", &["echo", "$HOME", "*.rs", "~"]),
        ("grüße 'ü'", &["grüße", "ü"]),
    ] {
        assert_eq!(split(line).unwrap(), words, "{line:?}");
    }
}

#[test]
fn what_is_left_open_is_named() {
    for (line, why) in [
        ("a 'b", CommandError::OpenQuote('\'')),
        ("a \"b", CommandError::OpenQuote('"')),
        ("a \"b\\", CommandError::OpenQuote('"')),
        ("a\\", CommandError::LoneBackslash),
    ] {
        assert_eq!(split(line).unwrap_err(), why, "{line:?}");
    }
}
