"""Tables that fit a terminal, and have one line per row where there is none (for grep)."""

from rich.console import Console
from rich.table import Table

__all__ = ["print_table"]

PIPED_WIDTH = 240
"""Columns where there is no terminal."""


def print_table(table: Table) -> None:
    """Print a table on standard output."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPED_WIDTH)
    console.print(table)
