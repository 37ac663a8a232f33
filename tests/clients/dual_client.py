"""Drives a running proxy with the official python client of the 2.x line.

usage: dual_client.py MCP_URL legacy|auto|2026-07-28
Prints a line for each fact it saw; the exit code is 0 only if it saw them all.
"""

import asyncio
import sys

from mcp import Client

URL, MODE = sys.argv[1:3]


async def main():
    async with Client(URL, mode=MODE) as client:
        print(f"saw: {MODE}: connected at {client.protocol_version}", flush=True)
        tools = [tool.name for tool in (await client.list_tools()).tools]
        assert "echo" in tools, tools

        async def echo(number):
            result = await client.call_tool("echo", {"message": f"n{number}"})
            assert result.content[0].text.endswith(f"n{number}"), result

        await asyncio.gather(*(echo(number) for number in range(20)))
        print(f"saw: {MODE}: 20 calls at once, each with its own answer", flush=True)


asyncio.run(asyncio.wait_for(main(), 60))
