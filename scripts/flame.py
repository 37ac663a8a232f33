"""Draws a flame graph: reads collapsed stacks (`a;b;c 42`), writes one self-contained SVG.

    python3 scripts/flame.py TITLE <collapsed.txt >flame.svg
    python3 scripts/flame.py --top <collapsed.txt      a table of who asked for most, innermost caller first
A box is as wide as what its frame and the frames above it have; hover for the name and the number.
"""

import html
import re
import sys

WIDTH, ROW, LEAST = 1200, 17, 0.0005  # the narrowest box that is drawn, as a part of the whole


def split(stack):
    """The frames of a stack; a semicolon before a space is a part of a type."""
    return re.split(r";(?! )", stack)


def read(lines):
    """The stacks as a tree of [total, {frame: subtree}]."""
    root = [0, {}]
    for line in lines:
        stack, _, number = line.rstrip("\n").rpartition(" ")
        if not stack or not re.fullmatch(r"[\d.]+", number):
            continue
        node, amount = root, float(number)
        root[0] += amount
        for frame in split(stack):
            if "prof_backtrace" in frame:  # the profiler's own frames
                continue
            node = node[1].setdefault(frame, [0, {}])
            node[0] += amount
    return root


def boxes(node, depth, left, whole):
    """Yields (depth, left, width, name, amount), parents first."""
    for name, child in sorted(node[1].items()):
        if child[0] >= LEAST * whole:
            yield depth, left, child[0], name, child[0]
            yield from boxes(child, depth + 1, left, whole)
        left += child[0]


def draw(title, root):
    found = list(boxes(root, 0, 0, root[0]))
    rows = max((box[0] for box in found), default=0) + 1
    height = rows * ROW + 40
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" font-family="monospace" font-size="11">')
    print("<style>svg{background:#fff;color:#222}rect{stroke:#fff;stroke-width:.5}text{fill:#222;pointer-events:none}"
          "@media(prefers-color-scheme:dark){svg{background:#12161b}.t{fill:#eee}rect{stroke:#12161b}}</style>")
    print(f'<text class="t" x="4" y="18">{html.escape(title)}: {root[0]:,.0f} in all</text>')
    for depth, left, width, name, amount in found:
        x, wide = left / root[0] * WIDTH, width / root[0] * WIDTH
        y = height - (depth + 1) * ROW - 4
        hue = 200 if "plunge" in name else 30
        light = 62 + sum(map(ord, name)) % 18
        short = re.sub(r"::h[0-9a-f]{16}$", "", name)
        text = short[:int(wide / 6.8)] if wide > 24 else ""
        print(f'<g><title>{html.escape(short)}: {amount:,.0f} ({amount / root[0]:.1%})</title>'
              f'<rect x="{x:.1f}" y="{y}" width="{max(wide, .3):.1f}" height="{ROW - 1}" fill="hsl({hue} 70% {light}%)"/>'
              f'<text x="{x + 3:.1f}" y="{y + 12}">{html.escape(text)}</text></g>')
    print("</svg>")


def plain(frame):
    """A frame without what is in angle brackets, and without marks."""
    frame = frame.replace("[inline]", "").replace("->", "")
    while (bare := re.sub(r"<[^<>]*>", "", frame)) != frame:
        frame = bare
    return frame.strip(": ")


#: Frames of the allocator and of the library's wrappers around it: whom they serve is asked for.
WRAPPERS = re.compile(r"prof|malloc|alloc|box_new|grow|reserve|with_capacity|^new$|_new$|"
                      r"^(call_once|poll|run|try_with|with|set|drop|map|from|into|unwrap_or_else|\\{closure#\\d+\\})$")
CALLERS, ROWS = 4, 12


def top(lines):
    """Bytes by the innermost callers that are no wrappers."""
    amounts = {}
    for line in lines:
        stack, _, number = line.rstrip("\n").rpartition(" ")
        if not stack or not re.fullmatch(r"[\d.]+", number):
            continue
        frames = [name for name in map(plain, reversed(split(stack))) if name and not WRAPPERS.search(name)]
        key = " < ".join(dict.fromkeys(frames[:CALLERS])) or "unknown"
        amounts[key] = amounts.get(key, 0) + float(number)
    whole = sum(amounts.values())
    for key, amount in sorted(amounts.items(), key=lambda one: -one[1])[:ROWS]:
        print(f"{amount:14,.0f} {amount / whole:6.1%}  {key}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--top"]:
        sys.exit(top(sys.stdin))
    if len(sys.argv) != 2:
        sys.exit("usage: flame.py TITLE <collapsed.txt >flame.svg")
    tree = read(sys.stdin)
    if not tree[0]:
        sys.exit("flame: no stacks on standard input")
    draw(sys.argv[1], tree)
