"""The only place that asks what time it is.

Event time rules everywhere else: code that decides something takes its time from records, and code that waits takes a
clock as an argument. So a replay of 1997 decides what 1997 would have decided, and a test drives time by hand.

Easy to get wrong: a *duration* measured with :func:`now_ms` jumps when the machine's clock is set. Measure durations
with :func:`monotonic`; use :func:`now_ms` only to label something for people or for Kafka.
"""

import time
from collections.abc import Callable

__all__ = ["Clock", "monotonic", "now_ms"]

Clock = Callable[[], int]
"""Anything that returns epoch milliseconds: :func:`now_ms`, or a fake in a test."""


def now_ms() -> int:
    """Return the wall clock as epoch milliseconds (UTC).

    >>> now_ms() > 1_700_000_000_000
    True
    """
    return time.time_ns() // 1_000_000


def monotonic() -> float:
    """Return seconds from an arbitrary start that never go backwards, for durations and deadlines.

    >>> before = monotonic()
    >>> monotonic() >= before
    True
    """
    return time.monotonic()
