"""An MCP server that pays, by writing into the book named on its command line."""

from __future__ import annotations

import sys

from mcp.server.mcpserver import MCPServer

server = MCPServer("bank")


@server.tool()
def pay(euros: int) -> str:
    """Pay somebody."""
    with open(sys.argv[1], "a", encoding="utf-8") as book:
        book.write(f"{euros}\n")
    return f"{euros} paid"


if __name__ == "__main__":
    server.run()
