"""The cases: who answers, what stands between, who asks."""
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    name: str
    isolates: str
    #: How the proxy shares children; None goes without a proxy.
    mode: str | None
    #: `wrk`, `drive`, `idle`, a script of `perf/k6`; or, in turns with the same without a proxy, `beside`,
    #: `official_beside` (both over standard streams) and `http_beside`.
    client: str = "wrk"
    clients: int = 32
    #: How the upstream behaves; `real` is a real MCP server.
    upstream: tuple = ()
    #: The upstream speaks HTTP: the mio echo server, with these options.
    over_http: tuple | None = None
    #: More options of the proxy.
    proxy: tuple = ()
    settings: dict = field(default_factory=dict)
    #: The children are killed at once in the middle.
    restarts: bool = False
    #: The part of the calls that may go wrong, where that is what the case is about.
    may_fault: float = 0.0
    #: The case that it is held against.
    beside: str | None = None

    @property
    def is_fetched(self):
        """Whether it needs what is fetched: a real server, or the official client."""
        return self.real is not None

    @property
    def is_barred(self):
        """Whether the proxy may add 5 % at p95 and no more: before a real server's standard streams."""
        return self.client in ("beside", "official_beside") and self.real is not None

    def wrong(self, figures):
        """Why a round with these figures is not measured, or None.

        >>> calm, dying = Case("calm", "", None), Case("dying", "", None, may_fault=0.05)
        >>> calm.wrong({"requests": 100, "errors": 0}), dying.wrong({"requests": 100, "faults": 4})
        (None, None)
        >>> calm.wrong({"requests": 0, "errors": 0}), dying.wrong({})
        ('nothing was answered', 'nothing was answered')
        >>> calm.wrong({"requests": 100, "refused": 1})
        '1 calls of 100 went wrong where none may'
        >>> dying.wrong({"requests": 100, "refused": 80})
        '80 calls of 100 went wrong where 5 % may'
        """
        if not (requests := figures.get("requests", 0)):
            return "nothing was answered"
        wrong = sum(figures.get(kind, 0) for kind in ("errors", "refused", "faults", "not_sent"))
        if wrong <= self.may_fault * requests:
            return None
        may = f"{self.may_fault:.0%}".replace("%", " %") if self.may_fault else "none"
        return f"{wrong} calls of {requests} went wrong where {may} may"

    @property
    def in_turns(self):
        """What it compares is called in turns within it, so that one round is enough; how many times as long as
        another case it lasts, or none."""
        return {"beside": 9, "official_beside": 9, "http_beside": 12}.get(self.client)

    @property
    def real(self):
        """Which real server answers: `node`, `python`, or none."""
        return self.upstream[1] if self.upstream[:1] == ("real",) else None


NODE, PYTHON = ("real", "node"), ("real", "python")
#: Children of one process each: the real server answers in its own order, and one core is left to it.
ONE = ("--max-connections", "1")

CASES = [
    Case("direct_http", "no proxy: the client and the loopback, against the mio echo server", None),
    Case("direct_stdio", "no proxy: the child's streams alone, 32 calls in flight", None, "drive"),
    Case("shared", "children reused, many calls on each", "shared", beside="direct_http"),
    Case("exclusive", "children reused, one call on each", "exclusive", beside="direct_http"),
    Case("session", "a child a session, 16 sessions", "session", beside="direct_http"),
    Case("oneshot", "no reuse: a process a call", "oneshot", beside="exclusive"),
    Case("http_shared", "a server over HTTP, connections reused, many calls a session", "shared", over_http=(),
         beside="direct_http"),
    Case("http_exclusive", "the same, one call a session", "exclusive", over_http=(), beside="direct_http"),
    Case("http_no_reuse", "a server over HTTP that ends each connection after one answer", "shared", over_http=("--close",),
         beside="http_shared"),
    Case("http_slow", "a server over HTTP that takes 20 ms", "shared", over_http=("--delay-ms", "20"), beside="slow"),
    Case("http_dying", "a server over HTTP that dies every 5,000 answers, and is back at once", "shared",
         over_http=("--die-after", "5000"), may_fault=0.05),
    Case("steady", "1,000 calls a second by schedule", "shared", "steady", settings={"RATE": 1000}),
    Case("burst", "200 and 2,000 calls a second in turns", "shared", "burst", settings={"RATE": 2000}),
    Case("slow", "an upstream that takes 20 ms", "shared", upstream=("--delay-ms", "20")),
    Case("slow_exclusive", "the same, one call a child: 16 children for 32 callers", "exclusive",
         upstream=("--delay-ms", "20")),
    Case("bursting", "an upstream that answers every 50 ms, all at once", "shared", upstream=("--burst-ms", "50")),
    Case("stalling", "an upstream that stands still for 50 ms after every hundredth answer", "shared",
         upstream=("--stall-ms", "50")),
    Case("dying", "an upstream that dies every 2,000 to 4,000 calls", "shared", upstream=("--die-after", "2000"),
         may_fault=0.05),
    Case("dying_exclusive", "the same, one call a child", "exclusive", upstream=("--die-after", "2000"), may_fault=0.05),
    Case("restart", "all children killed at once in the middle", "shared", restarts=True, may_fault=0.05),
    Case("storm", "32 clients that connect, open a session, call and leave, each time anew", "shared", "storm"),
    Case("storm_session", "the same, a child for each of them", "session", "storm"),
    Case("many", "10,000 connections with a call under way on each", "shared", clients=10_000,
         proxy=("--max-in-flight", "1024", "--max-connections", "4", "--acquire-timeout", "10s"), may_fault=0.05),
    Case("idle", "2,000 connections that said hello and stay: what one more takes", "shared", "idle", 2_000),
    # A real server: the client's own streams against it, then the same client with the proxy between.
    Case("node_stdio", "a real server (node), no proxy: its streams alone, 8 calls in flight", None, "drive", 8, NODE),
    Case("node_forward", "the same streams through `plunge forward`", "session", "drive", 8, NODE, proxy=ONE,
         beside="node_stdio"),
    Case("node_stdio_one", "as node_stdio, one call after the other", None, "drive", 1, NODE),
    Case("node_forward_one", "as node_forward, one call after the other", "session", "drive", 1, NODE, proxy=ONE,
         beside="node_stdio_one"),
    Case("node_http", "the same server, no proxy: its own HTTP", None, clients=8, upstream=NODE),
    Case("node_shared", "the same server's streams through the proxy's HTTP", "shared", clients=8, upstream=NODE, proxy=ONE,
         beside="node_stdio"),
    Case("node_session", "the same, a session on a child of its own", "session", clients=8, upstream=NODE, proxy=ONE,
         beside="node_stdio"),
    Case("node_shared_one", "the same server through the proxy's HTTP, one call after the other", "shared", clients=1,
         upstream=NODE, proxy=ONE, beside="node_stdio_one"),
    # The same in turns of half a second, both servers up: what others do on the machine meets both.
    Case("native_beside", "our echo server's streams beside the same through `plunge forward`, one call after the other",
         "session", "beside", 1, proxy=ONE),
    Case("node_beside", "node's streams beside the same through `plunge forward`, 8 calls in flight", "session", "beside", 8,
         NODE, proxy=ONE),
    Case("node_beside_one", "the same, one call after the other", "session", "beside", 1, NODE, proxy=ONE),
    Case("python_beside", "python's streams beside the same through `plunge forward`, 8 calls in flight", "session", "beside",
         8, PYTHON, proxy=ONE),
    Case("python_beside_one", "the same, one call after the other", "session", "beside", 1, PYTHON, proxy=ONE),
    Case("slow_beside", "a server that takes 5 ms beside the same through `plunge forward`, one call after the other", "session",
         "beside", 1, ("--delay-ms", "5"), proxy=ONE),
    Case("official_beside", "the official python client, its server's streams beside the same through `plunge forward`, 8 calls "
         "in flight", "session", "official_beside", 8, PYTHON, proxy=ONE),
    Case("official_beside_one", "the same, one call after the other", "session", "official_beside", 1, PYTHON, proxy=ONE),
    Case("official_node_beside_one", "the official python client before node's server, one call after the other", "session",
         "official_beside", 1, NODE, proxy=ONE),
    Case("python_http_beside", "python's own HTTP beside the proxy's before it, 8 connections", "session", "http_beside", 8,
         PYTHON, over_http=()),
    Case("python_http_beside_one", "the same, one connection", "session", "http_beside", 1, PYTHON, over_http=()),
    Case("python_streams_beside_one", "python's own HTTP beside the proxy's before its streams, one connection", "session",
         "http_beside", 1, PYTHON),
    Case("node_http_beside", "node's own HTTP beside the proxy's before it, 8 connections", "session", "http_beside", 8, NODE,
         over_http=()),
    Case("node_http_beside_one", "the same, one connection", "session", "http_beside", 1, NODE, over_http=()),
    Case("node_streams_beside_one", "node's own HTTP beside the proxy's before its streams, one connection", "session",
         "http_beside", 1, NODE),
    Case("python_stdio", "a real server (python), no proxy: its streams alone, 8 calls in flight", None, "drive", 8, PYTHON),
    Case("python_forward", "the same streams through `plunge forward`", "session", "drive", 8, PYTHON, proxy=ONE,
         beside="python_stdio"),
    Case("python_shared", "the same server's streams through the proxy's HTTP", "shared", clients=8, upstream=PYTHON,
         proxy=ONE, beside="python_stdio"),
    Case("python_stdio_one", "as python_stdio, one call after the other", None, "drive", 1, PYTHON),
    Case("python_forward_one", "as python_forward, one call after the other", "session", "drive", 1, PYTHON, proxy=ONE,
         beside="python_stdio_one"),
    Case("python_shared_one", "as python_shared, one call after the other", "shared", clients=1, upstream=PYTHON,
         proxy=ONE, beside="python_stdio_one"),
]
