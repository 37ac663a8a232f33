"""The load generators, each run once; what they say in the same shape."""
import contextlib
import json
import pathlib
import resource
import shlex
import socket
import statistics
import subprocess
import time
import urllib.parse

from beside import order, ratios

ROOT = pathlib.Path(__file__).resolve().parents[2]
#: How much longer than its load a client may take.
GRACE = 60
#: Connections that are opened before memory is read, so that what is built once is built.
FIRST = 200
HELLO = json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
    "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "load", "version": "1"}}})


class Failed(Exception):
    """A client that gave no figures, and what it said."""


def figures(command, seconds):
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + GRACE)
    except subprocess.TimeoutExpired:
        raise Failed(f"{command[0]} was not over after {seconds + GRACE} s") from None
    except OSError as error:
        raise Failed(f"{command[0]} cannot be started: {error}") from error
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("{"):
            with contextlib.suppress(json.JSONDecodeError):
                return json.loads(line)
    said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()
    raise Failed(f"{pathlib.PurePath(command[0]).name} ended with {done.returncode} and no figures: {said[-1]}")


def wrk(program, url, seconds, clients, sessions=()):
    """A closed loop of so many connections."""
    threads = min(2, clients)
    return figures([program, f"-t{threads}", f"-c{clients}", f"-d{seconds}s", "--timeout", "10s",
                    "-s", "perf/wrk/echo.lua", url, *sessions], seconds)


def k6(program, url, seconds, script, settings):
    """A schedule, or clients that come and go."""
    flags = [flag for name, value in settings.items() for flag in ("-e", f"{name}={value}")]
    return figures([program, "run", "--quiet", "--no-usage-report", "-e", f"URL={url}", "-e", f"SECONDS={seconds}",
                    *flags, f"perf/k6/{script}.js"], seconds)


def drive(program, seconds, in_flight, command):
    """The server's own streams, nothing between."""
    return figures([program, "drive", "--in-flight", str(in_flight), "--seconds", str(seconds), "--", *command], seconds)


def beside(program, seconds, in_flight, direct, command):
    """The server's own streams, the same once more, and the same with something between, in turns within the second."""
    return figures([program, "beside", "--in-flight", str(in_flight), "--seconds", str(seconds), "--direct", json.dumps(direct),
                    "--", *command], seconds)


def official_beside(python, seconds, in_flight, direct, command):
    """The same by the official python client, which has costs of its own."""
    return figures([python, "perf/load/official_client.py", str(in_flight), str(seconds), shlex.join(direct),
                    shlex.join(command)], seconds)


def wrk_beside(program, turns, connections, direct, again, other):
    """A server's own HTTP, the same once more, and the same through the proxy, a second each in turns; each a URL
    and its session."""
    played = []
    for turn in range(turns):
        found = [None] * 3
        for which in order(turn):
            url, session = (direct, again, other)[which]
            found[which] = wrk(program, url, 1, connections, [session] if session else [])
            if not found[which]["requests"]:
                raise Failed(f"{url} answered nothing for a second")
        played.append(found)
    middle = lambda side, name: statistics.median(found[side][name] for found in played)  # noqa: E731
    said = {name: middle(2, name) for name in ("per_second", "p50_us", "p95_us", "p99_us")}
    said |= {f"direct_{name}": middle(0, name) for name in ("p50_us", "p95_us", "p99_us")}
    said |= {name: sum(block[name] for found in played for block in found) for name in ("errors", "refused", "faults")}
    said["requests"] = sum(found[2]["requests"] for found in played)
    times = {name: [[block[f"{name}_us"] for block in found] for found in played] for name in ("p50", "p95")}
    return said | ratios(times) | {"turns": turns}


def idle(url, count, resident):
    """Connections that say hello and stay: how long each hello took, and what `resident` (KiB) grew by for each."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    address = urllib.parse.urlsplit(url)
    request = (f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
               f"Accept: application/json, text/event-stream\r\nContent-Length: {len(HELLO)}\r\n\r\n{HELLO}").encode()
    kept, times = [], []
    try:
        for number in range(FIRST + count):
            if number == FIRST:
                before, began = resident(), time.monotonic()
            start = time.perf_counter()
            kept.append(socket.create_connection((address.hostname, address.port), timeout=GRACE))
            kept[-1].sendall(request)
            if not kept[-1].recv(1 << 16).startswith(b"HTTP/1.1 200"):
                raise Failed(f"connection {number} was not greeted")
            times.append(1e6 * (time.perf_counter() - start))
        seconds, grown = time.monotonic() - began, resident() - before
    except OSError as error:
        raise Failed(f"connection {len(kept)}: {error}") from error
    finally:
        for one in kept:
            one.close()
    cut = statistics.quantiles(times[FIRST:], n=100)
    return {"requests": count, "seconds": seconds, "per_second": count / seconds, "p50_us": cut[49], "p95_us": cut[94],
            "p99_us": cut[98], "max_us": max(times[FIRST:]), "errors": 0, "kib_each": grown / count}
