"""The second owner: panes of all partitions come together; windows open, close and are revised.

Entries of the state, by the first letter of their key: ``r`` rows of open
panes, ``s`` marks of sources, ``w`` windows, ``q`` recent panes, ``t`` totals,
``m`` the merged watermark, ``o`` the windows of the last publication.

The rule easy to get wrong: a revision number is durable before it is
published. After a crash between the two, the new owner publishes the windows
of the last publication again, byte for byte; what changed since then was
published for sure, and gets a new number.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from schemas.events import INPUTS
from streams.board_view import DisplayedTotals, View
from streams.clock import now_ms
from streams.combine import Combination, RowTable
from streams.merged import Merged, SourceTable
from streams.metrics import Metrics
from streams.packing import pack, unpacker
from streams.panes import PaneBatch
from streams.rolling import RecentPanes, closed_end, needed_behind, rolling_counts
from streams.settings import Settings
from streams.stage import Change, Partition, Record, Row, Send, Step
from streams.windows import WindowKey, WindowTable, record_of

__all__ = ["MergePartition", "MergeStage"]

PUBLISHED_AT_ONCE = 5_000
"""Most windows in one publication."""

_batch = unpacker(PaneBatch)
_merged = unpacker(Merged)
_outbox = msgspec.msgpack.Decoder(tuple[int | None, list[WindowKey]]).decode


class MergePartition:
    """The state of one merge partition: all numbers of its channels."""

    def __init__(self, stage: "MergeStage", number: int) -> None:
        self.number = number
        self._stage = stage
        self._settings = stage.settings
        self.rows = RowTable()
        self.sources = SourceTable()
        self.windows = WindowTable()
        self.recent = RecentPanes(stage.settings.closed_delay_ms)
        self.totals = DisplayedTotals(stage.settings.named_campaigns)
        self.clear()

    # -- state ---------------------------------------------------------------

    def clear(self) -> None:
        """Become the empty state."""
        self.rows.clear()
        self.sources.clear()
        self.windows.clear()
        self.recent.clear()
        self.totals.clear()
        self.merged = Merged()
        self._outbox: tuple[int | None, list[WindowKey]] = (None, [])
        self._again: list[Row] = []
        self._received_ms: list[int] = []
        self._published_at = 0.0
        self._changed = False

    def apply(self, changes: Iterable[Change]) -> None:
        """Take durable changes."""
        for key, value in changes:
            kind, rest = key[:1], key[1:]
            if kind == b"w":
                self.windows.put(rest, value)
            elif kind == b"r":
                self.rows.put(rest, value)
            elif kind == b"q":
                self.recent.put(rest, value)
            elif value is not None:
                self._put(kind, rest, value)

    def _put(self, kind: bytes, rest: bytes, value: bytes) -> None:
        if kind == b"t":
            self.totals.put(rest, value)
        elif kind == b"s":
            self.sources.put(rest, value)
        elif kind == b"m":
            self.merged = _merged(value)
        elif kind == b"o":
            self._outbox = _outbox(value)

    def dump(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield every entry of the state."""
        for row_id, row in self.rows.rows.items():
            yield b"r" + pack(row_id), pack(row)
        for key, value in SourceTable.encode(self.sources.sources):
            yield b"s" + key, value
        for key, value in self.windows.dump():
            yield b"w" + key, value
        for key, value in self.recent.dump():
            yield b"q" + key, value
        for key, value in self.totals.dump():
            yield b"t" + key, value
        yield b"m", pack(self.merged)
        yield b"o", pack(self._outbox)

    def opened(self, epoch: int, offsets: dict[str, int], now: float) -> None:
        """Start under a new epoch: the last publication goes out again."""
        watermark, keys = self._outbox
        windows = ((key, self.windows.windows.get(key)) for key in keys)
        self._again = [record_of(key, window, watermark) for key, window in windows if window and not window.dirty]
        self.windows.reindex()
        self._changed = True

    def closed(self) -> None:
        """Take this partition's numbers off display."""
        self._stage.metrics.set_merged(self.number, None)
        self._stage.metrics.forget_source("panes", self.number)

    # -- steps ---------------------------------------------------------------

    def take(self, topic: str, records: Sequence[Record], start: int, now: float) -> Step:
        """Merge the records of one slice."""
        combination = Combination(
            self.rows,
            self.sources,
            self.windows,
            self.recent,
            self.totals,
            self.merged,
            expected=self._settings.partitions * len(INPUTS),
        )
        for record in records:
            combination.take(_batch(record.value or b""))

        def done() -> None:
            self._received_ms += combination.received_ms
            self._changed = True

        return Step(combination.changes(), {topic: records[-1].offset + 1}, done=done)

    def tick(self, now: float, caught_up: Callable[[str], bool]) -> Step | None:
        """Publish what changed, once a second; evict what nobody can revise any more."""
        if self._again:
            return self._publish_again()
        if now - self._published_at < self._settings.publish_interval_ms / 1_000:
            return None
        step = self._publish() or self._evict()
        if step is None:
            self._published_at = now
            self._show()
        return step

    def _publish(self) -> Step | None:
        watermark = self.merged.watermark
        final_until = None if watermark is None else watermark - self._settings.allowed_lateness_ms
        due = self.windows.due(final_until, PUBLISHED_AT_ONCE)
        if not due:
            return None
        changes: list[Change] = [(b"w" + key, value) for key, value in WindowTable.encode(due)]
        changes.append((b"o", pack((watermark, list(due)))))
        rows = [record_of(key, window, watermark) for key, window in due.items()]
        return Step(changes, after=[self._send(rows)])

    def _publish_again(self) -> Step:
        def done() -> None:
            self._again = []

        return Step(after=[self._send(self._again)], done=done)

    def _send(self, rows: Sequence[Row]) -> Send:
        return Send("campaign.windows", self.number, rows)

    def _evict(self) -> Step | None:
        if self.merged.watermark is None:
            return None
        until = self.merged.watermark - max(
            self._settings.revision_horizon_ms, needed_behind(self._settings.closed_delay_ms)
        )
        keys = self.windows.evictable(until, PUBLISHED_AT_ONCE)
        if not keys:
            return None
        merged = msgspec.structs.replace(self.merged, evicted_until=max(until, self.merged.evicted_until))
        changes: list[Change] = [(b"w" + key, None) for key in keys]
        changes.append((b"m", pack(merged)))
        return Step(changes)

    # -- display -------------------------------------------------------------

    def _show(self) -> None:
        if not self._changed:
            return
        self._changed = False
        end = closed_end(self.merged.watermark, self._settings.closed_delay_ms)
        rolling = {}
        if end is not None:
            rolling = rolling_counts(self.recent, self.windows, end, self.totals.names)
        metrics = self._stage.metrics
        metrics.set_merged(self.number, View(self.totals.picture(), rolling))
        metrics.show_watermark("panes", self.number, self.merged.watermark)
        metrics.show_unwindowed(self.number, self.merged.unwindowed)
        now_wall = now_ms()
        metrics.observe_event_to_metric([(now_wall - received) / 1_000 for received in self._received_ms])
        self._received_ms = []


class MergeStage:
    """Merge panes into windows, totals and rolling numbers."""

    name = "merge"
    sources: tuple[str, ...] = ("panes",)
    state_topic = "state.merge"

    def __init__(self, settings: Settings, *, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics

    def open(self, number: int) -> Partition:
        """Return the empty state of partition ``number``."""
        return MergePartition(self, number)
