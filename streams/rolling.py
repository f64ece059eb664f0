"""Rolling windows: the last minute, five minutes, hour and day, up to the newest closed pane.

The short ones are sums of panes, the long ones of windows, as large as fit,
plus the panes after the last whole minute; so they move with every pane and
cost little.

The rule easy to get wrong: they end where the watermark says that all has
come (less the disorder to wait for), not at the wall clock; a rolling number
of 1997 is the one that 1997 would have shown.
"""

from collections.abc import Iterator, Mapping

import msgspec

from schemas.windows import Level
from streams.counts import Counts, add
from streams.packing import pack, unpacker
from streams.panes import PANE_MS, Pane
from streams.windows import LEVEL_MS, WindowTable

__all__ = ["ROLLING_MS", "RecentPanes", "Scope", "closed_end", "cover", "needed_behind", "rolling_counts"]

ROLLING_MS = {"1m": 60_000, "5m": 300_000, "1h": 3_600_000, "24h": 86_400_000}
"""Length of each rolling window, milliseconds."""

MEMORY_MS = 600_000
"""How long single panes are kept behind the newest closed one: more than the longest sum of panes."""

MINUTE_MS = 60_000
_LARGEST_FIRST: tuple[Level, ...] = ("1h", "5m", "1m")
Scope = tuple[str, str, str]
"""Scope, channel, campaign ("" at channel scope)."""

_pane = msgspec.msgpack.Decoder(Pane).decode
_counts = unpacker(Counts)


class RecentPanes:
    """Sums over all sources of the panes of the last minutes.

    Args:
        closed_delay_ms: how far the newest closed pane is behind the watermark.
    """

    def __init__(self, closed_delay_ms: int) -> None:
        self._memory_ms = MEMORY_MS + closed_delay_ms
        self.starts: dict[int, dict[Pane, Counts]] = {}

    def changed(
        self, overlay: dict[Pane, Counts], pane: Pane, counts: Mapping[str, int], watermark: int | None
    ) -> None:
        """Add to a pane in ``overlay``, unless it is too old to be shown."""
        if watermark is not None and pane[1] <= watermark - self._memory_ms:
            return
        total = overlay.get(pane)
        if total is None:
            total = overlay[pane] = dict(self.starts.get(pane[1], {}).get(pane, {}))
        add(total, counts)

    def expired(self, watermark: int | None) -> Iterator[bytes]:
        """Yield the keys of panes that are too old to be shown."""
        if watermark is not None:
            for start in [start for start in self.starts if start <= watermark - self._memory_ms]:
                yield from map(pack, self.starts[start])

    def put(self, raw_pane: bytes, raw: bytes | None) -> None:
        """Take a durable change of one pane."""
        pane = _pane(raw_pane)
        if raw is not None:
            self.starts.setdefault(pane[1], {})[pane] = _counts(raw)
            return
        panes = self.starts.get(pane[1], {})
        panes.pop(pane, None)
        if not panes:
            self.starts.pop(pane[1], None)

    @staticmethod
    def encode(overlay: Mapping[Pane, Counts]) -> Iterator[tuple[bytes, bytes]]:
        """Yield the entries of changed panes."""
        for pane, counts in overlay.items():
            yield pack(pane), pack(counts)

    def dump(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield every pane as an entry."""
        for panes in self.starts.values():
            yield from self.encode(panes)

    def clear(self) -> None:
        """Forget all panes."""
        self.starts.clear()

    def between(self, start: int, end: int) -> Iterator[tuple[Pane, Counts]]:
        """Yield the panes that begin in ``[start, end)``."""
        for begin, panes in self.starts.items():
            if start <= begin < end:
                yield from panes.items()


def cover(begin: int, end: int) -> Iterator[tuple[Level, int]]:
    """Yield level and start of the fewest windows that make up a span of whole minutes.

    >>> [(level, start // MINUTE_MS) for level, start in cover(58 * MINUTE_MS, 126 * MINUTE_MS)]
    [('1m', 58), ('1m', 59), ('1h', 60), ('5m', 120), ('1m', 125)]
    """
    while begin < end:
        fits = (level for level in _LARGEST_FIRST if begin % LEVEL_MS[level] == 0 and begin + LEVEL_MS[level] <= end)
        level = next(fits)
        yield level, begin
        begin += LEVEL_MS[level]


def rolling_counts(
    panes: RecentPanes, windows: WindowTable, end: int, named: Mapping[tuple[str, str], str]
) -> dict[Scope, dict[str, Counts]]:
    """Return the rolling counts that end at ``end``, by scope and rolling window.

    Args:
        panes: of the last minutes.
        windows: the windows that are kept; those of campaigns are read.
        end: end of the newest closed pane, epoch ms, a multiple of the pane.
        named: the name that each (channel, campaign) is shown under.
    """
    result: dict[Scope, dict[str, Counts]] = {}

    def count(channel: str, campaign: str, window: str, counts: Mapping[str, int]) -> None:
        for scope in (("channel", channel, ""), ("campaign", channel, named.get((channel, campaign), "other"))):
            add(result.setdefault(scope, {}).setdefault(window, {}), counts)

    minute = end - end % MINUTE_MS
    for window, length in ROLLING_MS.items():
        begin = minute if length >= ROLLING_MS["1h"] else end - length
        for (_, _, channel, campaign), counts in panes.between(begin, end):
            count(channel, campaign, window, counts)
        if length >= ROLLING_MS["1h"]:
            for level, start in cover(minute - length + MINUTE_MS * (end > minute), minute):
                for (_, channel, campaign, _, _), kept in windows.of_campaigns(level, start):
                    count(channel, campaign, window, kept.counts)
    return result


def closed_end(watermark: int | None, closed_delay_ms: int) -> int | None:
    """Return the end of the newest closed pane.

    >>> closed_end(1_012_345, 2_000)
    1010000
    """
    return None if watermark is None else (watermark - closed_delay_ms) // PANE_MS * PANE_MS


def needed_behind(closed_delay_ms: int) -> int:
    """Return how far behind the watermark windows are needed for the longest rolling window, milliseconds."""
    return ROLLING_MS["24h"] + MINUTE_MS + PANE_MS + closed_delay_ms
