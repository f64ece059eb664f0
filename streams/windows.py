"""Windows of event time: what was counted per channel and per campaign, and how sure it is.

A window is *provisional* while the watermark has not passed its end by the
allowed lateness, then *final*; a later event makes it *revised*. Each
publication has the next revision; readers keep the highest per key.

The rule easy to get wrong: a window that was evicted is gone, with all it had
counted. Adding to it again would publish a lower number as a correction; such
an addition must be counted elsewhere, and seen.
"""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Literal
from urllib.parse import quote

import msgspec

from schemas.windows import CampaignWindow, Level, State
from streams.counts import Counts, add, window_fields
from streams.packing import pack, unpacker

__all__ = ["LEVEL_MS", "Window", "WindowKey", "WindowTable", "keys_of", "record_of", "window_end"]

LEVEL_MS: dict[Level, int] = {"1m": 60_000, "5m": 300_000, "1h": 3_600_000, "1d": 86_400_000}
"""Length of each published level, milliseconds; all begin at multiples of it (UTC)."""

WindowKey = tuple[Literal["channel", "campaign"], str, str, Level, int]
"""Scope, channel, campaign ("" at channel scope), level, start (epoch ms)."""

PROVISIONAL: State = "provisional"
FINAL: State = "final"
REVISED: State = "revised"


class Window(msgspec.Struct, array_like=True):
    """What one window has counted, and what was last said of it."""

    counts: Counts
    revision: int = 0
    state: State = PROVISIONAL
    dirty: bool = True
    """It changed since its last publication."""


def window_end(key: WindowKey) -> int:
    """Return the first moment after a window."""
    return key[4] + LEVEL_MS[key[3]]


def keys_of(channel: str, campaign: str, time_ms: int) -> Iterator[WindowKey]:
    """Yield every window that a moment of a campaign belongs to.

    >>> [key[3:] for key in keys_of("search", "c1", 3_700_000)][:4]
    [('1m', 3660000), ('1m', 3660000), ('5m', 3600000), ('5m', 3600000)]
    """
    for level, length in LEVEL_MS.items():
        start = time_ms - time_ms % length
        yield ("channel", channel, "", level, start)
        yield ("campaign", channel, campaign, level, start)


def record_of(key: WindowKey, window: Window, watermark_ms: int | None) -> tuple[bytes, bytes]:
    """Return key and value of a window's record on ``campaign.windows``."""
    scope, channel, campaign, level, start = key
    name = "/".join((scope, quote(channel, safe=""), quote(campaign, safe=""), level, str(start)))
    record = CampaignWindow(
        id=name,
        scope=scope,
        channel=channel,
        campaign_id=campaign if scope == "campaign" else None,
        level=level,
        start_ms=start,
        end_ms=window_end(key),
        state=window.state,
        revision=window.revision,
        watermark_ms=watermark_ms,
        **window_fields(window.counts),
    )
    return name.encode(), msgspec.json.encode(record)


_key = msgspec.msgpack.Decoder(WindowKey).decode
_window = unpacker(Window)


class WindowTable:
    """The windows of one merge partition that may still change."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all windows."""
        self.windows: dict[WindowKey, Window] = {}
        self.dirty: set[WindowKey] = set()
        self._unfinished: list[tuple[int, WindowKey]] = []
        self._finished: list[tuple[int, WindowKey]] = []
        self._of_campaigns: dict[tuple[Level, int], set[WindowKey]] = {}

    def of_campaigns(self, level: Level, start: int) -> Iterator[tuple[WindowKey, Window]]:
        """Yield the windows of single campaigns that begin at ``start``."""
        for key in self._of_campaigns.get((level, start), ()):
            yield key, self.windows[key]

    # -- changes -------------------------------------------------------------

    def changed(self, overlay: dict[WindowKey, Window], key: WindowKey, counts: Counts) -> None:
        """Add ``counts`` to a window in ``overlay``, the windows of a step not yet durable."""
        window = overlay.get(key)
        if window is None:
            kept = self.windows.get(key)
            if kept is None:
                overlay[key] = Window(dict(counts))
                return
            window = overlay[key] = Window(dict(kept.counts), kept.revision, kept.state)
        add(window.counts, counts)

    def put(self, raw_key: bytes, raw: bytes | None) -> None:
        """Take a durable change of one window."""
        key = _key(raw_key)
        if raw is None:
            if self.windows.pop(key, None) is not None:
                self._index(key, known=False)
            self.dirty.discard(key)
            return
        window = _window(raw)
        before = self.windows.get(key)
        self.windows[key] = window
        if window.dirty:
            self.dirty.add(key)
        else:
            self.dirty.discard(key)
        if before is None:
            self._index(key, known=True)
        if before is None or (before.state == PROVISIONAL != window.state):
            heap = self._unfinished if window.state == PROVISIONAL else self._finished
            heappush(heap, (window_end(key), key))

    def _index(self, key: WindowKey, *, known: bool) -> None:
        if key[0] != "campaign":
            return
        keys = self._of_campaigns.setdefault(key[3:], set())
        if known:
            keys.add(key)
        else:
            keys.discard(key)
            if not keys:
                del self._of_campaigns[key[3:]]

    @staticmethod
    def encode(overlay: dict[WindowKey, Window]) -> Iterator[tuple[bytes, bytes]]:
        """Yield the entries of changed windows."""
        for key, window in overlay.items():
            yield pack(key), pack(window)

    def dump(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield every window as an entry."""
        return self.encode(self.windows)

    def reindex(self) -> None:
        """Find again what is due; a step that was thrown away may have taken it off."""
        unfinished = [(window_end(key), key) for key, w in self.windows.items() if w.state == PROVISIONAL]
        finished = [(window_end(key), key) for key, w in self.windows.items() if w.state != PROVISIONAL]
        heapify(unfinished)
        heapify(finished)
        self._unfinished, self._finished = unfinished, finished

    # -- what is due ---------------------------------------------------------

    def due(self, final_until: int | None, most: int) -> dict[WindowKey, Window]:
        """Return at most ``most`` windows to publish, as they are to be said.

        Args:
            final_until: windows that end by this moment are final, epoch ms.
            most: bounds the size of one publication.
        """
        due: dict[WindowKey, Window] = {}
        heap = self._unfinished
        while final_until is not None and heap and heap[0][0] <= final_until and len(due) < most:
            _, key = heappop(heap)
            window = self.windows.get(key)
            if window is not None and window.state == PROVISIONAL:
                due[key] = Window(window.counts, window.revision + 1, FINAL, dirty=False)
        for key in self.dirty:
            if len(due) >= most:
                break
            if key not in due:
                window = self.windows[key]
                state: State = PROVISIONAL if window.state == PROVISIONAL else REVISED
                due[key] = Window(window.counts, window.revision + 1, state, dirty=False)
        return due

    def evictable(self, until: int, most: int) -> list[bytes]:
        """Return the keys of finished, published windows that end by ``until``."""
        evicted: list[bytes] = []
        heap = self._finished
        while heap and heap[0][0] <= until and len(evicted) < most:
            end, key = heappop(heap)
            if key in self.dirty:
                heappush(heap, (end, key))
                break
            if key in self.windows:
                evicted.append(pack(key))
        return evicted
