"""A real MCP server as upstream: the official python library's own, with one tool that echoes.

    echo_server.py           over standard streams
    echo_server.py http      over HTTP, on a free port that it names
"""
import asyncio
import sys

import uvicorn
from mcp.server.fastmcp import FastMCP

server = FastMCP("echo", log_level="ERROR", json_response=True)


@server.tool()
def echo(message: str) -> str:
    return f"Echo: {message}"


class Named(uvicorn.Server):
    """Says where it listens, once it does."""

    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(f"listening on http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}/mcp", flush=True)


if sys.argv[1:] == ["http"]:
    settings = uvicorn.Config(server.streamable_http_app(), port=0, log_level="error", access_log=False)
    asyncio.run(Named(settings).serve())
else:
    server.run("stdio")
