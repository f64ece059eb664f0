"""One slice of ``panes`` being merged: everything it would change, nothing changed yet.

Rows are cumulative, so only what a row has more than the one before it is
added to windows and totals; a row that comes again adds nothing.

The rule easy to get wrong: after a source has closed its panes, its rows are
forgotten here. A late copy of such a row must not look like a new one: its
incarnation is older than the promise, that is how it is known. So a promise
must never be forgotten, not even when an older mark is delivered again.
"""

from collections.abc import Iterable

import msgspec

from streams.board_view import DisplayedTotals
from streams.counts import Counts, add, difference
from streams.merged import Merged, SourceId, SourceSeen, SourceTable, merged_watermark
from streams.packing import pack, unpacker
from streams.panes import PANE_MS, Closed, Pane, PaneBatch, Row, SourceMark
from streams.rolling import RecentPanes
from streams.stage import Change
from streams.windows import Window, WindowKey, WindowTable, keys_of, window_end

__all__ = ["Combination", "RowTable"]

RowId = tuple[int, Pane, int]
"""Sending partition, pane, incarnation."""
_row_id = msgspec.msgpack.Decoder(RowId).decode
_row = unpacker(Row)


class RowTable:
    """The newest row of each open pane of each sender."""

    def __init__(self) -> None:
        self.rows: dict[RowId, Row] = {}
        self._of_source: dict[SourceId, set[RowId]] = {}

    def put(self, raw_id: bytes, raw: bytes | None) -> None:
        """Take a durable change of one row."""
        row_id = _row_id(raw_id)
        owned = self._of_source.setdefault((row_id[0], row_id[1][0]), set())
        if raw is None:
            self.rows.pop(row_id, None)
            owned.discard(row_id)
        else:
            self.rows[row_id] = _row(raw)
            owned.add(row_id)

    def covered(self, source: SourceId, closed: Closed, more: Iterable[RowId]) -> list[RowId]:
        """Return the rows of a source that its promise covers, among those kept and ``more``."""
        kept = self._of_source.get(source, set())
        return [row_id for row_id in {*kept, *more} if is_covered(row_id, closed)]

    def clear(self) -> None:
        """Forget all rows."""
        self.rows.clear()
        self._of_source.clear()


def is_covered(row_id: RowId, closed: Closed) -> bool:
    """Tell whether a row can not change any more, by its source's promise."""
    return row_id[1][1] + PANE_MS <= closed.until_ms and row_id[2] < closed.offset


class Combination:
    """Merges the records of one slice over the durable tables.

    Args:
        expected: how many sources there are, from topic metadata.
    """

    def __init__(
        self,
        rows: RowTable,
        sources: SourceTable,
        windows: WindowTable,
        recent: RecentPanes,
        totals: DisplayedTotals,
        merged: Merged,
        expected: int,
    ) -> None:
        self._rows = rows
        self._sources = sources
        self._windows = windows
        self._recent = recent
        self._totals = totals
        self._expected = expected
        self._epochs = dict(sources.epochs)
        self._seen: dict[SourceId, SourceSeen] = {}
        self._row_changes: dict[RowId, Row | None] = {}
        self._window_changes: dict[WindowKey, Window] = {}
        self._recent_changes: dict[Pane, Counts] = {}
        self._total_changes: dict[tuple[str, str], Counts] = {}
        self._merged = msgspec.structs.replace(merged)
        self.received_ms: list[int] = []
        self.stale = 0

    def take(self, batch: PaneBatch) -> None:
        """Merge one record of ``panes``."""
        sender = batch.partition
        if batch.epoch < self._epochs.get(sender, -1):
            self.stale += 1
            return
        self._epochs[sender] = batch.epoch
        if batch.received_ms:
            self.received_ms.append(batch.received_ms)
        for pane, row in batch.rows:
            self._take_row(sender, pane, row)
        for mark in batch.marks:
            self._take_mark(sender, batch.epoch, mark)

    def _source(self, source: SourceId) -> SourceSeen | None:
        return self._seen.get(source) or self._sources.sources.get(source)

    def _take_row(self, sender: int, pane: Pane, row: Row) -> None:
        row_id = (sender, pane, row.incarnation)
        source = self._source((sender, pane[0]))
        if source is not None and is_covered(row_id, source.closed):
            self.stale += 1
            return
        changes = self._row_changes
        before = changes[row_id] if row_id in changes else self._rows.rows.get(row_id)
        if before is not None and row.offset <= before.offset:
            return
        changes[row_id] = row
        self._count(pane, difference(row.counts, before.counts) if before else row.counts)

    def _count(self, pane: Pane, counts: Counts) -> None:
        _, start, channel, campaign = pane
        for key in keys_of(channel, campaign, start):
            known = key in self._window_changes or key in self._windows.windows
            if not known and window_end(key) <= self._merged.evicted_until:
                self._merged.unwindowed += sum(counts.values())
            else:
                self._windows.changed(self._window_changes, key, counts)
        self._recent.changed(self._recent_changes, ("", start, channel, campaign), counts, self._merged.watermark)
        name = (channel, campaign)
        total = self._total_changes.get(name)
        if total is None:
            total = self._total_changes[name] = dict(self._totals.exact.get(name, {}))
        add(total, counts)

    def _take_mark(self, sender: int, epoch: int, mark: SourceMark) -> None:
        source = (sender, mark.topic)
        before = self._source(source)
        closed = mark.closed
        if before is not None and before.closed.until_ms >= closed.until_ms:
            closed = before.closed
        self._seen[source] = SourceSeen(epoch, mark.watermark, mark.idle, closed)
        if before is not None and before.closed == closed:
            return
        fresh = [i for i, row in self._row_changes.items() if row and (i[0], i[1][0]) == source]
        for row_id in self._rows.covered(source, closed, fresh):
            self._row_changes[row_id] = None

    def changes(self) -> list[Change]:
        """Return everything as changes of the state."""
        merged = self._merged
        sources = {**self._sources.sources, **self._seen}
        merged.watermark = merged_watermark(sources, self._expected, merged.watermark)
        changes: list[Change] = [
            (b"r" + pack(row_id), None if row is None else pack(row)) for row_id, row in self._row_changes.items()
        ]
        changes += [(b"s" + key, value) for key, value in SourceTable.encode(self._seen)]
        changes += [(b"w" + key, value) for key, value in WindowTable.encode(self._window_changes)]
        changes += [(b"q" + key, value) for key, value in RecentPanes.encode(self._recent_changes)]
        changes += [(b"q" + key, None) for key in self._recent.expired(merged.watermark)]
        changes += [(b"t" + key, value) for key, value in self._totals.encode(self._total_changes)]
        changes.append((b"m", pack(merged)))
        return changes
