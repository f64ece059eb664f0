"""Wait for a condition with a deadline, and look at processes."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from streams.clock import monotonic

__all__ = ["ROOT", "alive", "until", "wait_for"]

ROOT = Path(__file__).resolve().parents[2]
"""Where the packages are."""


def alive(pid: int) -> bool:
    """Return whether a process runs (a dead one that nobody has asked for does not)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Return when the condition holds; fail after the deadline."""
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Return when the condition holds; fail after the deadline."""
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
