"""Drives a real MCP server (server-everything) through a running proxy with the official python client.

usage: python_client.py MCP_URL ADMIN_URL
Prints a line for each fact it saw; the exit code is 0 only if it saw them all. Knows the 1.x client.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
import urllib.request

from mcp import ClientSession, McpError, types
from mcp.client.streamable_http import streamablehttp_client

MCP, ADMIN = sys.argv[1:3]
TYPED_ERROR_WITHIN = 0.1  # seconds from the kill of a child to the error at its client


def saw(fact, detail=""):
    print(f"saw: {fact}{f' ({detail})' if detail else ''}", flush=True)


def children():
    with urllib.request.urlopen(ADMIN + "stats") as page:
        return {child["pid"]: child["in_flight"] for child in json.load(page)["children"]}


async def until(what, so):
    for _ in range(1000):
        if result := await asyncio.to_thread(so):
            return result
        await asyncio.sleep(0.01)
    raise AssertionError(f"not in time: {what}")


async def sample(_context, params):
    text = types.TextContent(type="text", text=f"sampled: {params.messages[0].content.text}")
    return types.CreateMessageResult(role="assistant", content=text, model="scripted")


@contextlib.asynccontextmanager
async def client(**callbacks):
    async with streamablehttp_client(MCP) as (read, write, session_id):
        async with ClientSession(read, write, **callbacks) as session:
            await session.initialize()
            assert session_id()
            yield session


def text(result):
    assert not result.isError, result
    return "".join(part.text for part in result.content)


async def basics():
    async with client() as session:
        tools = {tool.name for tool in (await session.list_tools()).tools}
        assert {"echo", "get-sum"} <= tools, tools
        assert "Echo: hello" in text(await session.call_tool("echo", {"message": "hello"}))
        saw("initialize, tools/list, tools/call echo", f"{len(tools)} tools")
        steps = []

        async def progress(done, total, _message):
            steps.append((done, total))

        await session.call_tool("trigger-long-running-operation", {"duration": 0.2, "steps": 4}, progress_callback=progress)
        assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)], steps
        saw("progress of a running call")
        prompts = await session.list_prompts()
        resources = await session.list_resources()
        assert prompts.prompts and resources.resources
        await session.send_ping()
        saw("prompts, resources, ping")


async def questions():
    async with client(sampling_callback=sample) as session:
        answer = text(await session.call_tool("trigger-sampling-request", {"prompt": "why", "maxTokens": 10}))
        assert "sampled: " in answer, answer
        saw("a question of the server to its client, and the answer")


async def two_at_once():
    async with client(sampling_callback=sample) as one, client() as other:
        with_sampling = {tool.name for tool in (await one.list_tools()).tools}
        without = {tool.name for tool in (await other.list_tools()).tools}
        assert "trigger-sampling-request" in with_sampling - without, "each client has the server of its own capabilities"

        async def echo(session, name, number):
            said = text(await session.call_tool("echo", {"message": f"{name}-{number}"}))
            assert said == f"Echo: {name}-{number}", said

        await asyncio.gather(*(echo(session, name, number) for session, name in ((one, "one"), (other, "other")) for number in range(50)))
        assert len(children()) == 2, children()
        saw("two clients at once do not see each other")


async def death():
    async with client() as bystander:
        before = set(children())
        async with client() as session:
            # Loads what the error path needs, so that the first import is not timed.
            with contextlib.suppress(McpError):
                await session.get_prompt("no-such-prompt")
            (victim,) = set(children()) - before
            call = asyncio.create_task(session.call_tool("trigger-long-running-operation", {"duration": 30, "steps": 1}))
            await until("the call is with the server", lambda: children().get(victim) == 1)
            killed = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            try:
                await asyncio.wait_for(call, 5)
                raise AssertionError("the call outlived its server")
            except McpError as error:
                took = time.monotonic() - killed
                assert error.error.data == {"kind": "child_died"}, error.error
                assert took < TYPED_ERROR_WITHIN, f"the error took {took * 1000:.0f} ms"
                saw("a killed server is a typed error", f"{took * 1000:.1f} ms after the kill")
            try:
                await asyncio.wait_for(session.call_tool("echo", {"message": "x"}), 5)
                raise AssertionError("the session outlived its server")
            except McpError as error:
                assert "terminated" in error.error.message.lower(), error.error
                saw("the client learns that its session is over")
        assert "still" in text(await bystander.call_tool("echo", {"message": "still"}))
        async with client() as session:
            assert "again" in text(await session.call_tool("echo", {"message": "again"}))
        saw("the next session works, and the others went on")


async def main():
    await basics()
    await questions()
    await two_at_once()
    await death()
    await until("every session's server is gone", lambda: not children())
    saw("sessions that were deleted leave no server")


asyncio.run(asyncio.wait_for(main(), 120))
print("all seen")
