"""Checks the rules of the house on the Rust sources: floors, doors, sizes, headers.

Called by scripts/floors.sh. Reads text, not types: comments and literals are blanked out first, so a
word in a comment is no import. What it cannot see is a path built by a macro of another crate.
"""

import pathlib
import re
import sys
import tempfile

FLOORS = {"sync": 0, "time": 0, "error": 0, "macros": 0, "engine": 1, "pool": 2, "resilience": 3,
          "watch": 3, "transport": 4, "proxy": 5, "bin": 6}
GROUND = {"sync", "error", "macros"}  # open to every floor, their neighbour `time` included
PUBLIC_ONLY_FROM = 3                  # from here up, only the public items of the pool are seen
DOORS = ("std::sync", "core::sync", "alloc::sync", "crossbeam", "crossbeam_queue", "crossbeam_utils",
         "crossbeam_epoch", "crossbeam_channel", "parking_lot", "arc_swap", "loom")
MODEL_DOORS = ("loom",)  # a model of the engine names its checker
CLOCKS = ("std::time::Instant", "std::time::SystemTime")
UNSAFE_FLOORS = {"engine", "sync"}
VAGUE = {"util", "utils", "helper", "helpers", "data", "info", "misc", "common"}
FILE_LIMIT, FUNCTION_LIMIT = 400, 70
REASON = "Reason for length:"
HOUSE = {"Cargo.toml", "Cargo.lock", "src", "benches", "perf", "scripts", "tests", "docs", "examples",
         "README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"}

TOKEN = re.compile(
    r"""(?P<line>//[^\n]*)|(?P<block>/\*)|(?P<raw>b?c?r(?P<hash>\#*)")|(?P<string>[bc]?"(?:\\.|[^"\\])*")"""
    r"""|(?P<char>b?'(?:\\(?:u\{[^}]*\}|x..|.)|[^\\'\n])')""", re.S)


def blank(text):
    return re.sub(r"[^\n]", " ", text)


def strip(source, keep_literals=False):
    """Returns the source with comments, and unless asked otherwise literals, blanked out."""
    out, at = [], 0
    while match := TOKEN.search(source, at):
        start, end, kind = match.start(), match.end(), match.lastgroup
        if kind == "raw" or match.group("raw"):
            if start and (source[start - 1].isalnum() or source[start - 1] == "_"):
                out.append(source[at:start + 1])
                at = start + 1
                continue
            close = source.find('"' + match.group("hash"), end)
            end, kind = (len(source) if close < 0 else close + 1 + len(match.group("hash"))), "raw"
        elif kind == "block":
            depth = 1
            while depth and (step := re.compile(r"/\*|\*/").search(source, end)):
                depth, end = depth + (1 if step.group() == "/*" else -1), step.end()
        comment = kind in ("line", "block")
        out.append(source[at:start])
        out.append(source[start:end] if keep_literals and not comment else blank(source[start:end]))
        at = end
    return "".join(out) + source[at:]


def close_of(code, opened):
    """Returns the offset of the brace that closes the one at `opened`."""
    depth = 0
    for at in range(opened, len(code)):
        depth += {"{": 1, "}": -1}.get(code[at], 0)
        if depth == 0:
            return at
    return len(code) - 1


def line_of(code, offset):
    return code.count("\n", 0, offset) + 1


def use_paths(tree, prefix=""):
    """Expands a `use` tree to full paths."""
    tree = tree.strip()
    if "{" not in tree:
        path = re.sub(r"\s+as\s+\w+$", "", tree)
        path = re.sub(r"\s+", "", path)
        return [prefix + path] if path else []
    head, inner = tree.split("{", 1)
    inner, head = inner[:inner.rfind("}")], re.sub(r"\s+", "", head)
    parts, depth, part = [], 0, ""
    for letter in inner + ",":
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += letter
    return [path for part in parts for path in use_paths(part, prefix + head)]


class Source:
    """One Rust file: its text, its text without comments, and where it stands."""

    def __init__(self, root, path):
        self.root, self.path = root, path
        self.name = path.relative_to(root).as_posix()
        self.text = path.read_text(encoding="utf-8")
        self.code = strip(self.text)
        self.inline = [(m.start(), close_of(self.code, m.end() - 1), m.group(1))
                       for m in re.finditer(r"\bmod\s+(\w+)\s*\{", self.code)]
        parts = list(path.relative_to(root).with_suffix("").parts)
        self.in_src = parts[0] == "src"
        self.module = [part for part in parts[1:] if part not in ("mod", "lib", "main")]
        self.floor = self.module[0] if self.in_src and self.module else ""
        self.is_test = parts[0] == "tests" or "tests" in parts[1:] or path.stem.endswith("_tests")
        self.is_root = self.name == "src/lib.rs"

    def here(self, offset):
        """The module path at an offset, inline modules included."""
        return self.module + [name for start, end, name in self.inline if start < offset < end]

    def paths(self):
        """Yields (offset, path) for every path that the code names, `self` and `super` resolved."""
        rest = self.code
        for match in re.finditer(r"\buse\s+([^;]+);", self.code):
            for path in use_paths(match.group(1)):
                yield match.start(), self.resolve(path, match.start())
            rest = rest[:match.start()] + blank(match.group()) + rest[match.end():]
        for match in re.finditer(r"(?<![\w:])(?:::)?\$?\w+(?:\s*::\s*\w+)+", rest):
            yield match.start(), self.resolve(re.sub(r"[\s$]", "", match.group()), match.start())

    def resolve(self, path, offset):
        parts = path.strip(":").split("::")
        if parts[0] not in ("super", "self"):
            return "::".join(parts)
        base = self.here(offset)
        while parts and parts[0] in ("super", "self"):
            base = base[:-1] if parts.pop(0) == "super" else base
        return "::".join(["crate"] + base + parts)


def exports(sources):
    """Names that the crate root re-exports, with the folder each comes from."""
    found = {}
    for root in (source for source in sources if source.is_root):
        for match in re.finditer(r"\bpub\s+use\s+([^;]+);", root.code):
            for path in use_paths(match.group(1)):
                parts = [part for part in path.split("::") if part not in ("crate", "self")]
                found[parts[-1]] = parts[0]
    return found


def private_modules(sources, folder):
    """The modules of a folder that its mod.rs keeps to itself."""
    for source in sources:
        if source.name == f"src/{folder}/mod.rs":
            return set(re.findall(r"^\s*mod\s+(\w+)\s*;", source.code, re.M))
    return set()


def check_imports(source, roots, hidden):
    for offset, path in source.paths():
        parts = path.split("::")
        if parts[0] != "crate" or len(parts) < 2:
            continue
        target = parts[1] if parts[1] in FLOORS else roots.get(parts[1])
        if target is None or target == source.floor or not source.floor or target in GROUND:
            continue
        if source.is_test and parts[:3] == ["crate", "engine", "tests"]:
            continue  # what tests are told with
        mine, theirs, line = FLOORS[source.floor], FLOORS[target], line_of(source.code, offset)
        if theirs >= mine:
            way = "up" if theirs > mine else "sideways"
            yield line, f"imports {way}: `{path}` (floor {theirs}) from `{source.floor}` (floor {mine})"
        elif mine >= PUBLIC_ONLY_FROM and target == "engine":
            yield line, f"sees the engine from floor {mine}: `{path}`; use the pool's public items"
        elif mine >= PUBLIC_ONLY_FROM and target == "pool" and len(parts) > 2 and parts[2] in hidden:
            yield line, f"reaches into a private module of the pool: `{path}`"


def check_doors(source):
    for offset, path in source.paths():
        line, full = line_of(source.code, offset), path.removeprefix("::")
        door = next((door for door in DOORS if full == door or full.startswith(door + "::")), None)
        model = source.floor == "engine" and source.is_test and door in MODEL_DOORS
        if door and source.floor != "sync" and not model:
            yield line, f"names `{full}` outside src/sync: import it from `crate::sync`"
        if source.floor != "time" and not source.is_test and full.startswith(CLOCKS):
            yield line, f"reads a clock that is not ours: `{full}`; use `crate::time` or tokio's"
        if source.floor in ("sync", "engine") and full.split("::")[0] == "tokio":
            yield line, f"names tokio on floor {FLOORS[source.floor]}: `{full}`"
    if source.floor not in UNSAFE_FLOORS:
        for match in re.finditer(r"\bunsafe\b", source.code):
            yield line_of(source.code, match.start()), "`unsafe` outside src/engine and src/sync"


def check_place(source):
    if source.floor and source.floor not in FLOORS and not source.is_root:
        yield 1, f"`{source.floor}` is no floor of the house: {', '.join(FLOORS)}"
    for part in pathlib.PurePath(source.name).with_suffix("").parts:
        if part in VAGUE:
            yield 1, f"`{part}` names nothing: call the file by its noun"
    first = next((line for line in source.text.splitlines() if line.strip()), "")
    if not first.startswith(("//!", "#![doc = include_str!") if source.is_root else "//!"):
        yield 1, "does not open with `//!`: what it is, what it promises, what it costs"
    if source.path.name == "mod.rs":
        code = re.sub(r"#!?\[[^\]]*\]", lambda m: blank(m.group()), source.code)
        code = re.sub(r"\b(?:pub\s*(?:\([^)]*\)\s*)?)?(?:mod\s+\w+\s*;|use\s+[^;]+;)", lambda m: blank(m.group()), code)
        code = re.sub(r"\b(?:pub\s*(?:\([^)]*\)\s*)?)?mod\s+\w+\s*\{\s*\}", lambda m: blank(m.group()), code)
        if left := re.search(r"\S", code):
            yield line_of(code, left.start()), "mod.rs holds more than docs, `mod` and `pub use`"


def test_spans(source):
    """Line ranges of inline test modules, which no size counts."""
    for match in re.finditer(r"#\[cfg\(test\)\]\s*(?:pub\s+)?mod\s+\w+\s*\{", source.code):
        yield line_of(source.code, match.start()), line_of(source.code, close_of(source.code, match.end() - 1))


def code_lines(source):
    spans = list(test_spans(source))
    lines = strip(source.text, keep_literals=True).splitlines()
    return sum(1 for number, line in enumerate(lines, 1)
               if line.strip() and not any(first <= number <= last for first, last in spans))


def body_of(code, offset):
    """The brace that opens the body of the function at `offset`, or None for a mere signature."""
    depth = 0
    for at in range(offset, len(code)):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(code[at], 0)
        if depth == 0 and code[at] == ";":
            return None
        if depth == 0 and code[at] == "{":
            return at
    return None


def check_sizes(source):
    lines = source.text.splitlines()
    header = "\n".join(line for line in lines[:40] if line.startswith("//"))
    count = 0 if source.is_test else code_lines(source)
    if count > FILE_LIMIT and REASON not in header:
        yield 1, f"{count} lines of code, limit {FILE_LIMIT} (or a header line `// {REASON} ...`)"
    for match in re.finditer(r"\bfn\s+(\w+)", source.code):
        opened = body_of(source.code, match.end())
        if opened is None:
            continue
        first, last = line_of(source.code, match.start()), line_of(source.code, close_of(source.code, opened))
        above = first - 1
        while above and lines[above - 1].lstrip().startswith(("//", "#")):
            above -= 1
        if last - first + 1 > FUNCTION_LIMIT and REASON not in "\n".join(lines[above:last]):
            yield first, f"`{match.group(1)}` has {last - first + 1} lines, limit {FUNCTION_LIMIT} (or `// {REASON} ...`)"


def check_top(root):
    for path in sorted(root.iterdir()):
        if not path.name.startswith((".", "target")) and path.name not in HOUSE:
            yield f"{path.name}: stands at the top level, where only these may: {', '.join(sorted(HOUSE))}"


def rust_files(root):
    for folder in ("src", "benches", "perf", "tests", "examples"):
        for path in sorted((root / folder).rglob("*.rs")):
            if "target" not in path.relative_to(root).parts:
                yield path


def violations(root):
    """Every violation below `root`, as lines to print, and how many files were read."""
    sources = [Source(root, path) for path in rust_files(root)]
    roots, hidden, found = exports(sources), private_modules(sources, "pool"), list(check_top(root))
    for source in sources:
        checks = [check_place(source), check_sizes(source)]
        if source.in_src:
            checks += [check_doors(source)]
            checks += [check_imports(source, roots, hidden)] if not source.is_root else []
        found += [f"{source.name}:{line}: {what}" for check in checks for line, what in check]
    return found, len(sources)


def planted(files):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        return violations(root)[0]


def selftest():
    """Plants one violation of each kind, and a clean house full of look-alikes."""
    from floors_cases import CLEAN, PLANTED
    failures = []
    for line in planted(CLEAN):
        failures.append(f"the clean house is refused: {line}")
    for expected, files in PLANTED:
        found = planted({**CLEAN, **files})
        if len(found) != 1 or expected not in found[0]:
            failures.append(f"planted `{expected}`, found {found}")
    for failure in failures:
        print(f"  {failure}")
    print(f"floors --selftest: {len(PLANTED) + 1} cases, {len(failures)} failed: {'FAILED' if failures else 'passed'}")
    return 1 if failures else 0


def main(arguments):
    if arguments == ["--selftest"]:
        return selftest()
    if arguments:
        print(f"floors: unknown argument {arguments[0]!r}; usage: scripts/floors.sh [--selftest]")
        return 2
    found, files = violations(pathlib.Path(__file__).resolve().parent.parent)
    for line in found:
        print(f"  {line}")
    print(f"floors: {files} files read, {len(found)} violations: {'FAILED' if found else 'passed'}")
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
