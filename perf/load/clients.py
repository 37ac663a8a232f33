"""The load generators, each run once; what they say in the same shape."""
import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
#: How much longer than its load a client may take.
GRACE = 60


class Failed(Exception):
    """A client that gave no figures, and what it said."""


def figures(command, seconds):
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + GRACE)
    except subprocess.TimeoutExpired:
        raise Failed(f"{command[0]} was not over after {seconds + GRACE} s") from None
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("{"):
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
