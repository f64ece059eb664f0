"""What the first owner tells the merge step: changed rows, then marks.

Rows are cumulative and leave several times a second; the marks that follow
them say how far each source has come. A row that nothing on time can change
any more is dropped, and a mark says so.

The rule easy to get wrong: a row may be dropped only after its last state was
published and acknowledged, and a mark may leave only behind the rows it speaks
of, in the same partition.
"""

from collections.abc import Callable, Iterator, Mapping
from zlib import crc32

from streams.packing import pack
from streams.panes import PANE_MS, Closed, Pane, PaneBatch, PaneTable, SourceMark
from streams.settings import Settings
from streams.source import Source, source_key
from streams.stage import Send, Step

__all__ = ["PaneFeed", "merge_partition"]

ROWS_PER_RECORD = 1_000
"""Bounds a record of ``panes`` to some 300 KB."""


def merge_partition(channel: str, partitions: int) -> int:
    """Return where the numbers of a channel come together.

    >>> merge_partition("search", 6) == merge_partition("search", 6)
    True
    """
    return crc32(channel.encode()) % partitions


class PaneFeed:
    """Publishes the panes of one partition; remembers what has left, in memory only."""

    def __init__(
        self, number: int, sources: Mapping[str, Source], panes: PaneTable, settings: Settings
    ) -> None:
        self._number = number
        self._sources = sources
        self._panes = panes
        self._settings = settings
        self._epoch = -1
        self._offsets: dict[str, int] = {}
        self._active: dict[str, float] = {}
        self._sent_marks: list[SourceMark] = []
        self._sent_at = 0.0
        self._received_ms = 0
        self._may_drop = False

    def opened(self, epoch: int, offsets: Mapping[str, int], now: float) -> None:
        """Start under a new epoch: everything is published again, nobody is idle yet."""
        self._epoch = epoch
        self._offsets = dict(offsets)
        self._active = dict.fromkeys(self._sources, now)
        self._sent_marks = []
        self._sent_at = 0.0
        self._received_ms = 0
        self._panes.unpublished.update(self._panes.rows)

    def took(self, topic: str, next_offset: int, received_ms: int, now: float) -> None:
        """Note that a slice has become durable; ``received_ms`` is Kafka's time of its first record."""
        self._offsets[topic] = next_offset
        self._active[topic] = now
        self._received_ms = min(self._received_ms or received_ms, received_ms)

    def tick(self, now: float, caught_up: Callable[[str], bool]) -> Step | None:
        """Return the next publication, or the cleaning that follows it, if it is due."""
        if self._may_drop and not self._panes.unpublished:
            self._may_drop = False
            return self._drop()
        if now - self._sent_at < self._settings.publish_interval_ms / 5_000:
            return None
        marks = [self._mark(topic, now, caught_up) for topic in self._sources]
        if marks != self._sent_marks or self._panes.unpublished:
            return self._publish(marks, now)
        return None

    def _mark(self, topic: str, now: float, caught_up: Callable[[str], bool]) -> SourceMark:
        source = self._sources[topic]
        quiet = now - self._active[topic] >= self._settings.idle_after_ms / 1_000
        return SourceMark(
            topic, self._offsets.get(topic, 0), source.watermark.value, quiet and caught_up(topic), source.closed
        )

    # -- publishing ----------------------------------------------------------

    def _publish(self, marks: list[SourceMark], now: float) -> Step:
        epoch = self._epoch
        sent = {pane: self._panes.rows[pane] for pane in self._panes.unpublished}

        def done() -> None:
            if epoch != self._epoch:  # we lost the partition and have it again: nothing of this may count
                return
            self._panes.published(sent)
            self._sent_marks = marks
            self._received_ms = 0
            self._may_drop = True

        self._sent_at = now
        return Step(after=list(self._batches(marks)), done=done)

    def _batches(self, marks: list[SourceMark]) -> Iterator[Send]:
        count = self._settings.partitions
        rows: dict[int, list[Pane]] = {number: [] for number in range(count)}
        for pane in self._panes.unpublished:
            rows[merge_partition(pane[2], count)].append(pane)
        for number, panes in rows.items():
            records = []
            while len(panes) > ROWS_PER_RECORD:
                records.append(self._record([], panes[-ROWS_PER_RECORD:]))
                del panes[-ROWS_PER_RECORD:]
            records.append(self._record(marks, panes))
            yield Send("panes", number, records)

    def _record(self, marks: list[SourceMark], panes: list[Pane]) -> tuple[bytes, bytes]:
        rows = [(pane, self._panes.rows[pane]) for pane in panes]
        received_ms = self._received_ms if rows else 0
        batch = PaneBatch(self._number, self._epoch, marks, rows, received_ms)
        return str(self._number).encode(), pack(batch)

    # -- dropping ------------------------------------------------------------

    def _drop(self) -> Step | None:
        """Drop the rows whose panes are past the allowed lateness, right after all rows have left."""
        step = Step()
        for topic, source in self._sources.items():
            watermark = source.watermark.value
            if watermark is None:
                continue
            until = (watermark - self._settings.allowed_lateness_ms) // PANE_MS * PANE_MS
            if until <= source.closed.until_ms:
                continue
            dropped = self._panes.droppable(topic, until)
            step.changes += [(b"p" + key, row) for key, row in self._panes.encode({}, dropped)]
            closed = Closed(until, self._offsets[topic])
            step.changes.append((source_key(b"c", topic), pack(closed)))
        return step if step.changes else None
