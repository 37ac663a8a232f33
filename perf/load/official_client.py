"""The official python client: calls a server over standard streams, the same once more, and another way to it, in turns.

    official_client.py IN_FLIGHT SECONDS DIRECT OTHER

What it does and prints is what `plunge-upstream beside` does and prints: a ratio is taken between blocks that
follow each other, in all six orders in turns.
"""
import asyncio
import contextlib
import json
import shlex
import statistics
import sys
import time

import beside
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

BLOCK = 0.2
CALL = {"message": "hello hello hello"}


@contextlib.asynccontextmanager
async def opened(command):
    program, *arguments = shlex.split(command)
    async with stdio_client(StdioServerParameters(command=program, args=arguments)) as streams:
        async with ClientSession(*streams) as session:
            await session.initialize()
            yield session


async def play(session, in_flight):
    """A block of calls: the microseconds that each took, and the seconds until the last was answered."""
    times, began = [], time.perf_counter()
    until = began + BLOCK

    async def caller():
        while (start := time.perf_counter()) < until:
            answer = await session.call_tool("echo", CALL)
            if answer.isError:
                raise SystemExit("a call went wrong where none may")
            times.append(1e6 * (time.perf_counter() - start))

    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return times, time.perf_counter() - began


def at(times, percent):
    return statistics.quantiles(times, n=100)[percent - 1]


async def run(in_flight, seconds, direct, other):
    async with opened(direct) as one, opened(direct) as again, opened(other) as through:
        sessions, times, turns, spent = (one, again, through), ([], [], []), [], [0.0] * 3
        for session in sessions:
            await play(session, in_flight)
        start = time.perf_counter()
        while time.perf_counter() - start < seconds or len(turns) < 2:
            blocks = [None] * 3
            for which in beside.order(len(turns)):
                blocks[which], lasted = await play(sessions[which], in_flight)
                spent[which] += lasted
                times[which].extend(blocks[which])
            turns.append(blocks)
    found = {"requests": len(times[2]), "per_second": len(times[2]) / spent[2], "errors": 0, "turns": len(turns)}
    for name, all_times in (("direct_", times[0]), ("", times[2])):
        found |= {f"{name}p{percent}_us": at(all_times, percent) for percent in (50, 95, 99)}
    print(json.dumps(found | beside.ratios({f"p{percent}": [[at(block, percent) for block in blocks] for blocks in turns]
                                            for percent in (50, 95)})))


in_flight, seconds, direct, other = sys.argv[1:]
asyncio.run(run(int(in_flight), float(seconds), direct, other))
