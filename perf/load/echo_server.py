"""A real MCP server as upstream: the official python library's own, with one tool that echoes, over standard streams."""

from mcp.server.fastmcp import FastMCP

server = FastMCP("echo", log_level="ERROR")


@server.tool()
def echo(message: str) -> str:
    return f"Echo: {message}"


server.run("stdio")
