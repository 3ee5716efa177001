"""A small MCP server over stdio, for test_plugged.py: looks a price up, fails, and is slow to nobody."""

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("prices")


@server.tool()
def price_of(flight_id: str) -> dict[str, int]:
    """The price of a flight."""
    return {"price": len(flight_id) * 10}


@server.tool()
def broken(flight_id: str) -> str:
    """Always fails."""
    raise ToolError(f"no price for {flight_id}")


if __name__ == "__main__":
    server.run()
