"""What the first owner tells the merge step, when, and what it may forget afterwards."""

from collections.abc import Iterable

import msgspec
import pytest

from streams import pane_feed
from streams.pane_feed import PaneFeed, merge_partition
from streams.panes import PANE_MS, Closed, Pane, PaneBatch, PaneTable, Row, SourceMark
from streams.source import Source, source_key
from streams.stage import Step
from streams.watermark import Watermark
from tests.streams.harness import settings

_pack = msgspec.msgpack.Encoder().encode
SEARCH = merge_partition("search", 2)
DAY = 86_400_000


class Feed:
    """A feed with its table and sources, two merge partitions, and a clock."""

    def __init__(self) -> None:
        self.panes = PaneTable()
        self.sources = {topic: Source(topic, dedupe_horizon_ms=DAY) for topic in ("clicks", "orders")}
        self.feed = PaneFeed(7, self.sources, self.panes, settings())
        self.now = 100.0
        self.caught_up = False
        self.feed.opened(5, {"clicks": 10, "orders": 20}, self.now)

    def put(self, start: int, *, channel: str = "search", topic: str = "clicks", **counts: int) -> Pane:
        pane = (topic, start, channel, "c1")
        self.apply(self.panes.encode({pane: Row(10, 10, counts or {"clicks": 1})}, ()))
        return pane

    def apply(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        for key, value in changes:
            self.panes.put(key, value)

    def tick(self, seconds: float = 1.0) -> Step | None:
        self.now += seconds
        return self.feed.tick(self.now, lambda topic: self.caught_up)

    def done(self, step: Step | None) -> list[PaneBatch]:
        """Finish a publication; return what was sent to the partition of `search`."""
        assert step is not None
        assert step.done is not None
        assert not step.changes
        step.done()
        return batches(step)


def batches(step: Step | None, partition: int = SEARCH) -> list[PaneBatch]:
    assert step is not None
    sends = [send for send in step.after if send.partition == partition]
    assert [(send.topic, len(step.after)) for send in sends] == [("panes", 2)]
    return [msgspec.msgpack.decode(value or b"", type=PaneBatch) for _, value in sends[0].rows]


def test_rows_go_to_their_channel_and_marks_to_all() -> None:
    """Each merge partition hears how far the sources are; rows go where their channel is merged."""
    made = Feed()
    other = next(name for name in ("a", "b", "c", "d") if merge_partition(name, 2) != SEARCH)
    pane = made.put(0, clicks=3)
    made.put(0, channel=other)
    step = made.tick()
    [batch], [elsewhere] = batches(step), batches(step, 1 - SEARCH)
    assert (batch.partition, batch.epoch) == (7, 5)
    assert batch.rows == [(pane, Row(10, 10, {"clicks": 3}))]
    assert [row[0][2] for row in elsewhere.rows] == [other]
    marks = [SourceMark("clicks", 10, None, False, Closed()), SourceMark("orders", 20, None, False, Closed())]
    assert batch.marks == elsewhere.marks == marks


def test_nothing_new_is_not_said_again() -> None:
    """After a publication silence, until a row or a mark changes."""
    made = Feed()
    made.put(0)
    made.done(made.tick())
    assert made.tick() is None
    made.sources["clicks"].watermark = Watermark(5)
    assert [mark.watermark for mark in made.done(made.tick())[0].marks] == [5, None]
    assert made.tick() is None
    pane = made.put(0, clicks=2)
    assert [row[0] for row in made.done(made.tick())[0].rows] == [pane]


def test_publications_keep_their_distance() -> None:
    """At most five publications in each interval of the board."""
    made = Feed()
    made.done(made.tick())
    made.put(0)
    assert made.tick(0.19) is None
    assert made.tick(0.02) is not None


def test_unfinished_publication_is_repeated() -> None:
    """What was not acknowledged is not taken for said."""
    made = Feed()
    made.put(0)
    first = batches(made.tick())
    assert batches(made.tick()) == first


def test_a_row_that_changes_after_all_is_said_anew() -> None:
    """A publication covers what was in it; a later change leaves with the next."""
    made = Feed()
    made.put(0)
    made.done(made.tick())
    made.put(0, clicks=2)
    [batch] = made.done(made.tick())
    assert batch.rows[0][1].counts == {"clicks": 2}


def test_opened_again_says_everything() -> None:
    """Under a new epoch all open rows are published again, also by the same process."""
    made = Feed()
    made.put(0)
    made.put(PANE_MS)
    made.done(made.tick())
    made.feed.opened(9, {"clicks": 11, "orders": 20}, made.now)
    [batch] = made.done(made.tick())
    assert (batch.epoch, len(batch.rows), batch.marks[0].offset) == (9, 2, 11)


def test_large_publications_are_cut_and_the_marks_come_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks may leave only behind the rows they speak of."""
    monkeypatch.setattr(pane_feed, "ROWS_PER_RECORD", 3)
    made = Feed()
    panes = {made.put(n * PANE_MS) for n in range(8)}
    records = made.done(made.tick())
    assert [(len(record.rows), bool(record.marks)) for record in records] == [(3, False), (3, False), (2, True)]
    assert {row[0] for record in records for row in record.rows} == panes


def test_age_of_the_oldest_event_travels_with_the_rows() -> None:
    """Kafka's time of the oldest event since the last publication; none without rows."""
    made = Feed()
    made.put(0)
    for received in (3_000, 2_000, 4_000):
        made.feed.took("clicks", 11, received, made.now)
    step = made.tick()
    assert [batches(step)[0].received_ms, batches(step, 1 - SEARCH)[0].received_ms] == [2_000, 0]
    made.done(step)
    made.put(0, clicks=2)
    made.feed.took("clicks", 12, 5_000, made.now)
    assert made.done(made.tick())[0].received_ms == 5_000


def idle(step: Step | None) -> list[bool]:
    return [mark.idle for mark in batches(step)[0].marks]


def test_idle_is_quiet_and_read_to_the_end() -> None:
    """Neither alone is enough, and the first record ends it."""
    made = Feed()
    assert idle(made.tick(2.9)) == [False, False]
    assert idle(made.tick(0.2)) == [False, False]
    made.caught_up = True
    assert idle(made.tick()) == [True, True]
    made.feed.took("clicks", 11, 1, made.now)
    assert idle(made.tick()) == [False, True]
    assert idle(made.tick(3.0)) == [True, True]
    made.feed.opened(9, {}, made.now)
    assert idle(made.tick()) == [False, False]


# -- dropping ----------------------------------------------------------------


def passed(made: Feed, watermark: int | None, topic: str = "clicks") -> None:
    made.sources[topic].watermark = Watermark(watermark)


def test_rows_are_dropped_after_their_last_state_was_said() -> None:
    """When nothing on time can change a pane any more its rows go, with a promise, and only of that source."""
    made = Feed()
    old, edge, new = (made.put(start) for start in (0, PANE_MS, 2 * PANE_MS))
    other = made.put(0, topic="orders")
    passed(made, 2 * PANE_MS + 60_000)
    made.done(made.tick())
    step = made.tick(0.0)
    assert step is not None
    assert (step.after, step.before, step.offsets) == ([], [], None)
    changes = dict(step.changes)
    assert changes.pop(source_key(b"c", "clicks")) == _pack(Closed(2 * PANE_MS, 10))
    assert changes == {b"p" + _pack(pane): None for pane in (old, edge)}
    assert set(made.panes.rows) == {old, edge, new, other}  # not before it is durable


def test_nothing_is_dropped_while_a_row_waits() -> None:
    """A row that changed after the publication must be said first."""
    made = Feed()
    made.put(0)
    passed(made, 500_000)
    made.done(made.tick())
    made.put(0, clicks=2)
    step = made.tick()
    assert [row[1].counts for row in made.done(step)[0].rows] == [{"clicks": 2}]
    after = made.tick(0.0)
    assert after is not None
    assert len(after.changes) == 2


def test_nothing_is_dropped_without_need() -> None:
    """No watermark, or one that has not passed another pane: no step, no empty group in the log."""
    made = Feed()
    made.put(0)
    made.done(made.tick())
    assert made.tick(0.0) is None
    made.sources["clicks"].closed = Closed(PANE_MS, 9)
    passed(made, 60_000 + 2 * PANE_MS - 1)
    made.done(made.tick())
    assert made.tick(0.0) is None


def test_a_promise_is_said() -> None:
    """The merge step forgets rows only by a mark, so a new promise must leave as one."""
    made = Feed()
    made.done(made.tick())
    assert made.tick() is None
    made.sources["clicks"].closed = Closed(PANE_MS, 9)
    assert made.done(made.tick())[0].marks[0].closed == Closed(PANE_MS, 9)


def test_every_channel_has_one_partition() -> None:
    """The numbers of a channel come together in one place, and places are all used."""
    places = {name: merge_partition(name, 6) for name in map(str, range(200))}
    assert set(places.values()) == set(range(6))
    assert merge_partition("sücht", 6) == merge_partition("sücht", 6)
