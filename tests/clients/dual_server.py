"""A server of both kinds, as the official python library of the 2.x line makes one: it speaks over standard streams."""

from mcp.server.mcpserver import MCPServer

server = MCPServer("dual")


@server.tool()
def echo(message: str) -> str:
    return f"Echo: {message}"


server.run("stdio")
