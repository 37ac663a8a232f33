"""What is measured: a proxy with its children, or a server without one; and what it takes meanwhile."""
import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.request

PATIENCE = 15


class Broken(Exception):
    """A server that did not start or end, or answered what it should not; and what was seen."""


def processes():
    """Every process: its id, its parent's, and when it began, which tells two of one id apart."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            yield int(name), int(fields[1]), fields[19]


def resident(pid, field="VmRSS"):
    """Kilobytes; 0 for a process that has just ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            found = re.search(rf"{field}:\s+(\d+)", file.read())
    except OSError:
        return 0
    return int(found.group(1)) if found else 0


class Server:
    """A process that says `listening` once it does, with all it starts. Ends with the block it is used in."""

    def __init__(self, command, environment=None):
        self.command, self.environment = command, environment
        self.children, self.most_children, self.least_kib = set(), 0, None

    def __enter__(self):
        try:
            self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                            env=os.environ | (self.environment or {}))
        except OSError as error:
            raise Broken(f"{self.command[0]} cannot be started: {error}") from error
        self.said, self.url = [], None
        readers = [threading.Thread(target=self._hear, args=(stream,), daemon=True)
                   for stream in (self.process.stdout, self.process.stderr)]
        for reader in readers:
            reader.start()
        until = time.monotonic() + PATIENCE
        while not any("listening" in line for line in self.said):
            if self.process.poll() is not None or time.monotonic() > until:
                self.process.kill()
                raise Broken(f"{self.command[0]} did not start: {' / '.join(self.said[-3:]) or 'it said nothing'}")
            time.sleep(0.02)
        words = " ".join(self.said)
        port = re.search(r"(?:on |port |127\.0\.0\.1:)(?:http://)?(?:127\.0\.0\.1:)?(\d+)", words)
        if not port:
            self.process.kill()
            self.process.wait()
            raise Broken(f"{self.command[0]} listens and said no port: {words}")
        self.url = f"http://127.0.0.1:{port.group(1)}/mcp"
        self.least_kib = resident(self.process.pid)
        self.watching = threading.Event()
        self.watcher = threading.Thread(target=self._watch, daemon=True)
        self.watcher.start()
        return self

    def _hear(self, stream):
        for line in stream:
            self.said.append(line.strip())
            del self.said[:-50]

    def _watch(self):
        while not self.watching.wait(0.05):
            self._look()

    def _look(self):
        mine = {(pid, began) for pid, parent, began in processes() if parent == self.process.pid}
        self.children |= mine
        self.most_children = max(self.most_children, len(mine))

    def open_session(self):
        """A session of an MCP client: its id, or None where the server gives none."""
        body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "load", "version": "1"}}}
        session = self._post(body, None)
        if session:
            self._post({"jsonrpc": "2.0", "method": "notifications/initialized"}, session)
        return session

    def _post(self, body, session):
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if session:
            headers["Mcp-Session-Id"] = session
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
                reply.read()
                return reply.headers.get("Mcp-Session-Id")
        except OSError as error:
            raise Broken(f"{self.url} refused a session: {error}") from error

    def kill_children(self):
        """Ends every child at once, as an upstream that is restarted does."""
        self._look()
        for pid, parent, _ in processes():
            if parent == self.process.pid:
                with contextlib.suppress(ProcessLookupError):  # It ended by itself meanwhile.
                    os.kill(pid, signal.SIGKILL)

    def resident(self):
        """What it takes now, in KiB."""
        return resident(self.process.pid)

    def figures(self):
        """What it took, read before it ends."""
        return {"rss_kib": resident(self.process.pid), "rss_start_kib": self.least_kib,
                "rss_most_kib": resident(self.process.pid, "VmHWM"),
                "children_most": self.most_children, "children_seen": len(self.children)}

    def __exit__(self, *_):
        self._look()
        self.watching.set()
        self.watcher.join()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Broken(f"{self.command[0]} did not end within {PATIENCE} s of SIGTERM") from None
        left = {(pid, began) for pid, _, began in processes()} & self.children
        if left:
            raise Broken(f"{len(left)} children outlived {self.command[0]}: {sorted(left)}")
