//! What a configuration file leads to, and every mistake in one.

use std::time::Duration;

use super::{AccessLog, Config, FileWatch, Mistake, parse_time};
use crate::proxy::options::{Mode, Upstream};

fn mistakes(text: &str) -> Vec<Mistake> {
    Config::parse(text).expect_err("there are mistakes")
}

/// The only mistake of an upstream with these lines beside its name and kind.
fn only(lines: &str) -> Mistake {
    let text = format!("[[upstream]]\nname = \"a\"\nkind = \"mcp-stdio\"\n{lines}\n");
    let found = mistakes(&text);
    assert_eq!(found.len(), 1, "{lines}: {found:?}");
    found.into_iter().next().unwrap()
}

#[test]
fn the_example_is_valid() {
    let config = Config::parse(Config::example()).expect("the example has no mistakes");
    assert_eq!(config.upstreams.len(), 2);
    assert_eq!(config.web.map(|web| web.routes.len()), Some(1));
}

#[test]
fn the_example_is_valid_with_everything_that_it_comments_out_and_means_the_same() {
    let plain = Config::parse(Config::example()).unwrap();
    let is_key = |line: &str| {
        let key = line.split(" = ").next().unwrap_or_default();
        line.contains(" = ")
            && key
                .chars()
                .all(|letter| letter.is_ascii_lowercase() || letter == '_')
    };
    let whole: String = Config::example()
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(key) if is_key(key) => format!("{key}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let whole = Config::parse(&whole).expect("what is commented out is valid, too");
    let [mut one, other] = [plain, whole].map(|config| config.upstreams[0].options.clone());
    assert_eq!(other.max_connections, Some(one.children()));
    one.max_connections = other.max_connections;
    one.upstream = other.upstream.clone();
    one.allowed_hosts = other.allowed_hosts.clone();
    one.allowed_origins = other.allowed_origins.clone();
    assert_eq!(
        one, other,
        "the values that are commented out are the defaults"
    );
}

#[test]
fn what_a_file_says_is_what_is_served() {
    let text = r#"
listen = "127.0.0.1:9000"
drain = "3s"
keep_awake = true
allowed_hosts = ["a.example"]
[log]
level = "info"
access = "/tmp/access.log"
[[upstream]]
name = "one"
kind = "mcp-stdio"
command = ["sh", "-c", "exec cat"]
env = { A = "b" }
mode = "shared"
max_connections = 3
min_idle = 0
response_timeout = "250ms"
breaker_cooldown = "2m"
[[upstream]]
name = "two"
kind = "mcp-http"
url = "http://localhost:3000/mcp"
headers = { Authorization = "x" }
host = "B.example"
"#;
    let config = Config::parse(text).unwrap();
    assert_eq!(config.listen.port(), 9000);
    assert_eq!(config.drain, Duration::from_secs(3));
    assert!(config.keep_awake);
    assert_eq!(config.log.access, AccessLog::File("/tmp/access.log".into()));
    let [one, two] = &config.upstreams[..] else {
        panic!("two upstreams");
    };
    assert_eq!(
        (one.options.mode, one.options.max_connections),
        (Mode::Shared, Some(3))
    );
    assert_eq!(one.options.response_timeout, Duration::from_millis(250));
    assert_eq!(
        one.options.breaker.longest_cooldown,
        Duration::from_secs(120)
    );
    assert_eq!(two.route.host.as_deref(), Some("b.example"));
    assert_eq!(two.options.allowed_hosts, ["a.example", "b.example"]);
    assert!(matches!(&two.options.upstream, Upstream::Http(http) if http.headers.len() == 1));
}

#[test]
fn every_mistake_is_reported_with_its_line_and_column() {
    let text = r#"listen = "nonsense"
drian = "5s"
reuse_port = "yes"
[log]
level = "loud"
[[upstream]]
name = "a"
kind = "mcp-stdio"
command = "no-such-program-at-all --flag"
max_connections = "many"
min_idle = 70000
connect_timeout = "5 parsecs"
request_timeout = 5
[[upstream]]
name = "a"
kind = "mcp-http"
url = "ftp://x"
command = "sh"
path = "/mcp"
modus = "shared"
[[upstream]]
kind = "mcp-htp"
"#;
    let found: Vec<_> = mistakes(text)
        .into_iter()
        .map(|mistake| (mistake.line, mistake.column, mistake.text))
        .collect();
    let wanted = [
        (1, 10, "`listen`: \"nonsense\" is no address"),
        (2, 1, "unknown key `drian`: did you mean `drain`?"),
        (3, 14, "true or false"),
        (5, 9, "\"loud\" is unknown: write one of off"),
        (9, 11, "no-such-program-at-all"),
        (10, 19, "\"many\" is no number"),
        (11, 12, "70000 is out of range"),
        (12, 19, "5 parsecs"),
        (13, 19, "with its unit"),
        (15, 1, "is the name of an upstream above"),
        (17, 7, "ftp://x"),
        (18, 1, "`command` is for kind \"mcp-stdio\" only"),
        (19, 1, "go to upstream \"a\" already"),
        (20, 1, "unknown key `modus`: did you mean `mode`?"),
        (21, 1, "no `name`"),
        (22, 8, "did you mean \"mcp-http\"?"),
    ];
    for (line, column, part) in wanted {
        assert!(
            found
                .iter()
                .any(|(at, place, text)| (*at, *place) == (line, column) && text.contains(part)),
            "{line}:{column}: {part} is not in {found:#?}"
        );
    }
    // The third upstream's route is that of the first, too.
    assert_eq!(found.len(), wanted.len() + 1, "{found:#?}");
    assert!(found.is_sorted_by_key(|(line, _, _)| *line));
}

#[test]
fn mistakes_of_the_syntax_are_reported_beside_those_of_the_meaning() {
    let found = mistakes("listen = \nadmin = 5\nlisten = 3 3\n[[upstream]\nname = 'x\n");
    assert!(found.len() >= 4, "{found:#?}");
    assert_eq!(found[0].line, 1);
}

#[test]
fn a_mistake_is_where_it_was_made_and_says_what_to_write() {
    let table = [
        ("", 1, 1, "no `command`"),
        ("command = \"sh 'open\"", 4, 11, "quote"),
        ("command = []", 4, 11, "names no program"),
        ("command = [\"sh\", 3]", 4, 11, "a string"),
        (
            "command = \"sh\"\nmin_idle = 9\nmax_connections = 3",
            5,
            1,
            "above `max_connections`, which is 3",
        ),
        ("command = \"sh\"\npath = \"mcp\"", 5, 8, "such as \"/mcp\""),
        ("command = \"sh\"\npath = \"/\"", 5, 8, "one path"),
        ("command = \"sh\"\nhost = \"a:80\"", 5, 8, "without port"),
        (
            "command = \"sh\"\nenv = { \"a=b\" = \"c\" }",
            5,
            9,
            "cannot be a variable",
        ),
        (
            "command = \"sh\"\ndirectory = \"/no/such/place\"",
            5,
            13,
            "there is no directory",
        ),
        (
            "command = \"sh\"\nresponse_cap = \"0s\"",
            5,
            16,
            "above zero",
        ),
        (
            "command = \"sh\"\nmax_in_flight = 2000",
            5,
            17,
            "between 1 and 1024",
        ),
        ("command = \"/etc/passwd\"", 4, 11, "cannot be executed"),
        (
            "command = \"sh\"\nurl = \"http://localhost\"",
            5,
            1,
            "for kind \"mcp-http\" and \"http\" only",
        ),
        ("command = \"sh\"\n\"ü\" = 1", 5, 1, "unknown key `ü`"),
    ];
    for (lines, line, column, part) in table {
        let found = only(lines);
        assert_eq!(
            (found.line, found.column),
            (line, column),
            "{lines}: {found}"
        );
        assert!(found.text.contains(part), "{lines}: {found}");
    }
}

#[test]
fn plain_http_is_read_beside_mcp() {
    let text = "[http]\nlisten = \"127.0.0.1:1\"\n[[upstream]]\nname = \"a\"\nkind = \"http\"\npath = \"/a/\"\nurl = [\"http://127.0.0.1:3\", \"http://127.0.0.1:4\"]\nstrip_prefix = true\nresponse_timeout = \"3s\"\n";
    let web = Config::parse(text).unwrap().web.unwrap();
    assert_eq!(web.listen.port(), 1);
    let route = &web.routes[0];
    assert_eq!((&*route.prefix, route.strip_prefix), ("/a", true));
    assert_eq!(route.upstream.targets.len(), 2);
    assert_eq!(route.upstream.timeouts.idle, Duration::from_secs(3));
    let wrong = text.replace(
        "[\"http://127.0.0.1:3\"",
        "[\"https://x\", \"http://x/y\", 3",
    );
    let wrong = mistakes(&wrong.replace("strip_prefix", "mode"));
    let places: Vec<_> = wrong
        .iter()
        .map(|wrong| (wrong.line, wrong.column))
        .collect();
    assert_eq!(places, [(7, 8), (7, 21), (7, 35), (8, 1)], "{wrong:#?}");
    let alone = mistakes(
        "[http]\n[[upstream]]\nname = \"a\"\nkind = \"mcp-http\"\nurl = \"http://localhost\"\n",
    );
    assert!(
        alone[0].text.contains("no upstream is of kind \"http\""),
        "{alone:?}"
    );
}

#[test]
fn a_file_without_an_upstream_says_how_one_is_written() {
    for text in [
        "",
        "upstream = 3",
        "upstream = []",
        "[upstream]\nname = 'a'",
    ] {
        let found = mistakes(text);
        assert!(
            found.len() == 1 && found[0].text.contains("[[upstream]]"),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn no_text_brings_the_reader_down() {
    for cut in 0..Config::example().len() {
        if let Some(text) = Config::example().get(..cut) {
            let _ = Config::parse(text);
        }
    }
    let _ =
        Config::parse("\u{feff}a = \"\\u0000\"\n[a.b]\n[[a.b]]\nupstream = [[], {}, 1979-05-27]");
}

#[test]
fn a_share_of_requests_is_for_modes_that_use_a_child_again() {
    for lines in ["max_uses = 3", "mode = \"oneshot\"\nmax_uses = 3"] {
        let mistake = only(&format!("command = [\"sh\"]\n{lines}"));
        assert!(mistake.to_string().contains("`max_uses`"), "{mistake}");
        assert!(mistake.to_string().contains("take it out"), "{mistake}");
    }
    let zero = only("command = [\"sh\"]\nmode = \"shared\"\nmax_uses = 0");
    assert!(zero.to_string().contains("out of range"), "{zero}");
    let text = "[[upstream]]\nname = \"a\"\nkind = \"mcp-stdio\"\ncommand = [\"sh\"]\nmode = \"shared\"\nmax_uses = 3\nmax_lifetime = \"1h\"\n";
    let options = &Config::parse(text).unwrap().upstreams[0].options;
    assert_eq!(
        (options.max_uses, options.max_lifetime),
        (Some(3), Some(Duration::from_secs(3600)))
    );
}

#[test]
fn a_time_that_nobody_means_is_a_mistake_where_it_stands() {
    let site = "[[upstream]]\nname = \"a\"\nkind = \"http\"\nurl = \"http://127.0.0.1:3\"\n";
    let cases = [
        (format!("[http]\nclient_idle = \"9000h\"\n{site}"), (2, 15)),
        (format!("{site}response_cap = \"9000h\"\n"), (5, 16)),
        (format!("drain = \"9000h\"\n{site}"), (1, 9)),
    ];
    for (text, place) in cases {
        let found = mistakes(&text);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!((found[0].line, found[0].column), place, "{found:#?}");
        assert!(found[0].text.contains("up to a year"), "{found:#?}");
    }
    let none = Config::parse(&format!("drain_delay = \"0s\"\n{site}"));
    assert!(none.unwrap().drain_delay.is_zero());
    assert!(parse_time("0s").is_err());
    assert_eq!(
        parse_time("8784h"),
        Ok(Duration::from_secs(366 * 24 * 3600))
    );
}

#[test]
fn an_upstream_that_is_this_proxy_or_is_there_twice_is_a_mistake_where_it_stands() {
    let text = |listen: &str, urls: &str| {
        format!(
            "[http]\nlisten = \"{listen}\"\n[[upstream]]\nname = \"a\"\nkind = \"http\"\nurl = [{urls}]\n"
        )
    };
    let wrong = [
        (
            "127.0.0.1:80",
            "\"http://b\", \"http://127.0.0.1\"",
            "in a circle",
        ),
        (
            "127.0.0.1:81",
            "\"http://b\", \"http://LOCALHOST:81\"",
            "in a circle",
        ),
        (
            "0.0.0.0:81",
            "\"http://b\", \"http://127.0.0.1:81\"",
            "in a circle",
        ),
        (
            "[::]:81",
            "\"http://b\", \"http://127.0.0.1:81\"",
            "in a circle",
        ),
        (
            "[::1]:81",
            "\"http://b\", \"http://[::1]:81\"",
            "in a circle",
        ),
        ("127.0.0.1:81", "\"http://b\", \"http://B:80/\"", "twice"),
    ];
    for (listen, urls, part) in wrong {
        let found = mistakes(&text(listen, urls));
        assert_eq!(found.len(), 1, "{listen} {urls}: {found:#?}");
        let place = (found[0].line, found[0].column);
        assert_eq!(place, (6, 20), "{found:#?}");
        assert!(found[0].text.contains(part), "{found:#?}");
    }
    for (listen, urls) in [
        ("127.0.0.1:0", "\"http://127.0.0.1:1\""),
        ("127.0.0.2:81", "\"http://127.0.0.1:81\""),
        ("0.0.0.0:81", "\"http://10.0.0.1:81\", \"http://[::1]:81\""),
        ("[::1]:81", "\"http://127.0.0.1:81\""),
        (
            "127.0.0.1:81",
            "\"http://127.0.0.1:82\", \"http://localhost\"",
        ),
    ] {
        let read = Config::parse(&text(listen, urls));
        assert!(read.is_ok(), "{listen} {urls}: {read:?}");
    }
}

#[test]
fn a_change_that_was_looked_at_is_none() {
    let path = std::env::temp_dir().join(format!("plunge-look-{}.toml", std::process::id()));
    std::fs::write(&path, "one").unwrap();
    let mut watch = FileWatch::new(&path);
    assert!(!watch.is_other());
    std::fs::write(&path, "other").unwrap();
    assert!(watch.is_other());
    watch.look();
    assert!(!watch.is_other());
    std::fs::remove_file(&path).unwrap();
}
