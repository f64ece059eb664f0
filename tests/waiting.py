"""Wait for a condition with a deadline, and look at processes: the only place where tests look again and again."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from streams.clock import monotonic

__all__ = ["ROOT", "alive", "until", "wait_for"]

ROOT = Path(__file__).resolve().parents[1]
"""Where the packages are."""

Result = TypeVar("Result")


def alive(pid: int) -> bool:
    """Return whether a process runs (a dead one that nobody has asked for does not)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


async def until(condition: Callable[[], object], seconds: float = 30.0, *, every: float = 0.01) -> None:
    """Return when the condition holds; fail after the deadline. ``every=0`` only lets other tasks have their turn."""
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline, "waited in vain"
        await asyncio.sleep(every)


def wait_for(
    condition: Callable[[], Result], seconds: float = 30.0, what: str = "waited in vain", *, every: float = 0.02
) -> Result:
    """Return the first true result of the condition; fail with ``what`` and its last result after the deadline."""
    deadline = monotonic() + seconds
    while not (result := condition()):
        assert monotonic() < deadline, f"not within {seconds:.0f} s: {what} (last: {str(result)[:300]})"
        time.sleep(every)
    return result
