"""Panes: what one partition contributed to ten seconds of one campaign.

An event costs one pane update, never one per window. A row is *cumulative*:
publishing it again, or later and larger, is harmless, because the merge step
keeps only the newest row of each identity and takes the difference.

Identity: source topic, pane, channel, campaign and *incarnation*, the offset
of the first event since the row was created. A row that no more events are
expected for is dropped here; a late event then starts a new incarnation, and
the pane is the sum of its incarnations. So the rule easy to get wrong: a row
may be dropped only after its last state has been published.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from streams.counts import Counts
from streams.packing import pack, unpacker

__all__ = ["PANE_MS", "Closed", "Pane", "PaneBatch", "PaneTable", "Row", "SourceMark", "pane_start"]

PANE_MS = 10_000
"""Length of a pane, milliseconds; every window level is a multiple of it."""

Pane = tuple[str, int, str, str]
"""Source topic, start (epoch ms), channel, campaign id ("" when none)."""


class Row(msgspec.Struct, array_like=True):
    """Cumulative counts of one incarnation of a pane."""

    incarnation: int
    offset: int
    """Offset of the last event in the row."""
    counts: Counts


class Closed(msgspec.Struct, array_like=True, frozen=True):
    """Promise of a source: no row of a pane ending by ``until_ms`` that was created before
    ``offset`` will change again."""

    until_ms: int = -1
    offset: int = 0


class SourceMark(msgspec.Struct, array_like=True):
    """What one source (topic of the sending partition) says of itself."""

    topic: str
    offset: int
    watermark: int | None
    idle: bool
    closed: Closed


class PaneBatch(msgspec.Struct, array_like=True):
    """One record of the ``panes`` topic: changed rows, then the marks they go with."""

    partition: int
    epoch: int
    marks: list[SourceMark]
    rows: list[tuple[Pane, Row]]
    received_ms: int
    """Kafka time of the oldest event since the previous batch, 0 when there is none."""


_pane = msgspec.msgpack.Decoder(Pane).decode
_row = unpacker(Row)


def pane_start(time_ms: int) -> int:
    """Return the start of the pane that holds an event time.

    >>> pane_start(1_574_553_617_004)
    1574553610000
    """
    return time_ms - time_ms % PANE_MS


class PaneTable:
    """The open rows of one partition."""

    def __init__(self) -> None:
        self.rows: dict[Pane, Row] = {}
        self.unpublished: set[Pane] = set()

    def open(self, changed: dict[Pane, Row], pane: Pane, offset: int) -> Row:
        """Put the row of ``pane`` into ``changed``, the rows of a slice not yet durable; return it."""
        kept = self.rows.get(pane)
        row = Row(kept.incarnation, offset, dict(kept.counts)) if kept else Row(offset, offset, {})
        changed[pane] = row
        return row

    def droppable(self, topic: str, until_ms: int) -> list[Pane]:
        """Return the published rows of ``topic`` whose pane ends by ``until_ms``."""
        newest = until_ms - PANE_MS
        return [
            pane for pane in self.rows if pane[0] == topic and pane[1] <= newest and pane not in self.unpublished
        ]

    def published(self, sent: Mapping[Pane, Row]) -> None:
        """Note that rows have left; one that changed since then has not."""
        for pane, row in sent.items():
            if self.rows.get(pane) is row:
                self.unpublished.discard(pane)

    def put(self, raw_pane: bytes, raw_row: bytes | None) -> None:
        """Take a durable change of one row."""
        pane = _pane(raw_pane)
        if raw_row is None:
            self.rows.pop(pane, None)
            self.unpublished.discard(pane)
        else:
            self.rows[pane] = _row(raw_row)
            self.unpublished.add(pane)

    def clear(self) -> None:
        """Forget all rows."""
        self.rows.clear()
        self.unpublished.clear()

    @staticmethod
    def encode(changed: dict[Pane, Row], dropped: Iterable[Pane]) -> Iterator[tuple[bytes, Any]]:
        """Yield the entries for changed and dropped rows."""
        for pane in dropped:
            yield pack(pane), None
        for pane, row in changed.items():
            yield pack(pane), pack(row)

    def dump(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield all rows as entries."""
        for pane, row in self.rows.items():
            yield pack(pane), pack(row)
