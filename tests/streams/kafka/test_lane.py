"""The order of a step, and what a lane does with slices that it must not work on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition

from streams.clock import monotonic
from streams.kafka import lane as module
from streams.kafka.gaps import Gap
from streams.kafka.lane import WAITING_SLICES, Lane
from streams.kafka.owner import Fenced, PartitionOwner
from streams.kafka.slices import Slice
from streams.metrics import Metrics
from streams.stage import Change, Record, Row, Send, Stage, Step
from tests.streams.harness import FakeMetrics, Raw, settings
from tests.waiting import until

SECONDS = 20.0


class FakeOwner:
    """Notes commits in the story; may be fenced."""

    def __init__(self, story: list[object]) -> None:
        self.tp = TopicPartition("test.state", 3)
        self.owned = True
        self.offsets: dict[str, int] = {}
        self.progress = SimpleNamespace(epoch=7)
        self.fails: Exception | None = None
        self._story = story

    async def commit(self, changes: Sequence[Change], after: dict[str, int]) -> None:
        if self.fails is not None:
            self.owned = False
            raise self.fails
        self._story.append(("commit", list(changes), after))
        self.offsets = after

    async def snapshot_if_due(self) -> None:
        self._story.append("snapshot")

    def release(self) -> None:
        self.owned = False


class FakeLogic:
    """Notes what it is asked; ticks give the steps it was given."""

    def __init__(self, story: list[object]) -> None:
        self.ticks: list[Step] = []
        self.caught_up: bool | None = None
        self.opened_with: tuple[int, dict[str, int]] | None = None
        self._story = story

    def opened(self, epoch: int, offsets: dict[str, int], now: float) -> None:
        self.opened_with = epoch, dict(offsets)

    def take(self, topic: str, records: Sequence[Record], start: int, now: float) -> Step:
        self._story.append(("take", topic, [record.offset for record in records], start))
        return Step(
            [(b"k", b"v")],
            {topic: records[-1].offset + 1},
            before=[Send("out", 3, [(None, b"o")])],
            after=[Send("panes", 0, [(None, b"p")])],
            done=lambda: self._story.append("done"),
        )

    def tick(self, now: float, caught_up: Callable[[str], bool]) -> Step | None:
        self.caught_up = caught_up("in")
        return self.ticks.pop(0) if self.ticks else None


class World:
    """One lane at work over fakes."""

    def __init__(self) -> None:
        self.story: list[object] = []
        self.owner, self.logic, self.metrics = FakeOwner(self.story), FakeLogic(self.story), FakeMetrics()
        self.end: int | None = None
        self.gap: Gap | Exception = Gap.ABSENT
        self.waits, self.looks = True, 0
        self.now = monotonic()
        self.open = asyncio.Event()
        self.open.set()
        self.lane = Lane(
            cast(Stage, SimpleNamespace(name="test", sources=("in",), state_topic="state")),
            cast(PartitionOwner, self.owner),
            cast(Any, self.logic),
            settings=settings(topic_prefix="test."),
            producer=cast(AIOKafkaProducer, None),
            metrics=cast(Metrics, self.metrics),
            highwater=lambda topic: self.end,
        )
        self.lane.start(1, {"in": 10})
        self.task = asyncio.create_task(self.lane.run())

    def has(self) -> tuple[bool, bool]:
        """Return whether the lane owns its partition, and whether it was fenced."""
        return self.owner.owned, self.lane.fenced_at is not None

    async def write(self, producer: object, topic: str, partition: int, rows: Iterable[Row]) -> list[object]:
        await self.open.wait()
        self.story.append((topic, partition))
        return []

    async def examine(self, bootstrap: str, tp: TopicPartition, expected: int, first: int) -> Gap:
        self.story.append(("gap", tp.topic, expected, first))
        if isinstance(self.gap, Exception):
            raise self.gap
        return self.gap

    async def look(self, bootstrap: str, tp: TopicPartition, expected: int, end: int) -> bool:
        self.looks += 1
        assert (tp, expected, end) == (TopicPartition("test.in", 3), self.lane.expected["in"], self.end)
        return not self.waits

    async def put(self, *offsets: int, generation: int = 1) -> asyncio.Event:
        """Queue a slice; return what tells that it was acknowledged."""
        acknowledged = asyncio.Event()
        records = cast(Sequence[ConsumerRecord], [Raw(offset, b"v") for offset in offsets])
        await self.lane.put(Slice("test.in", 3, generation, records), acknowledged.set)
        return acknowledged

    async def work(self, *offsets: int, generation: int = 1) -> list[object]:
        """Let the lane deal with a slice; return what happened."""
        self.story.clear()
        await asyncio.wait_for((await self.put(*offsets, generation=generation)).wait(), SECONDS)
        return list(self.story)


@pytest.fixture
async def w(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A lane at work that owns its partition and expects offset 10."""
    made = World()
    monkeypatch.setattr(module, "write_rows", made.write)
    monkeypatch.setattr(module, "examine_gap", made.examine)
    monkeypatch.setattr(module, "nothing_waits", made.look)
    monkeypatch.setattr(module, "monotonic", lambda: made.now)
    yield made
    made.task.cancel()
    await asyncio.wait([made.task])


async def test_the_only_safe_order(w: World) -> None:
    """Outputs, then the group, then what follows it, then the note that it is done."""
    commit = ("commit", [(b"k", b"v")], {"in": 12})
    taken = ("take", "in", [10, 11], 10)
    assert await w.work(10, 11) == [taken, ("test.out", 3), commit, ("test.panes", 0), "done", "snapshot"]
    assert w.lane.expected == {"in": 12}
    assert (w.metrics.slices, w.metrics.groups["test"]) == ([("in", 2)], 1)


async def test_slices_follow_each_other(w: World) -> None:
    """Without a hole nobody asks the broker."""
    await w.work(10, 11)
    assert (await w.work(12))[0] == ("take", "in", [12], 12)


async def test_a_slice_from_before_a_seek_is_dropped(w: World) -> None:
    """Fetched under an older generation it must not be worked on, but it is acknowledged."""
    assert await w.work(10, generation=0) == []
    assert w.lane.expected == {"in": 10}


async def test_records_that_are_in_the_state_are_skipped(w: World) -> None:
    """What comes again is cut off; a slice that holds nothing else is nothing."""
    await w.work(10, 11)
    assert await w.work(10, 11) == []
    assert (await w.work(9, 11, 12, 13))[0] == ("take", "in", [12, 13], 12)


@pytest.mark.parametrize(("gap", "start"), [(Gap.ABSENT, 10), (Gap.LOST, 15)])
async def test_holes_are_examined(w: World, gap: Gap, start: int) -> None:
    """Offsets without a record belong to the slice; lost ones stay out of it, so that the ledger shows them."""
    w.gap = gap
    assert (await w.work(15, 17))[:2] == [("gap", "test.in", 10, 15), ("take", "in", [15, 17], start)]


@pytest.mark.parametrize("place", ["gap", "commit", "write"])
async def test_anything_unexpected_ends_the_lane(w: World, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """The lane does not go on after an error; whoever waits for the slice is released all the same."""
    error = RuntimeError(place)
    w.gap = error
    w.owner.fails = error

    async def failing(*args: object) -> list[object]:
        raise error

    if place == "write":
        monkeypatch.setattr(module, "write_rows", failing)
    acknowledged = await w.put(15 if place == "gap" else 10)
    await asyncio.wait([w.task], timeout=SECONDS)
    assert w.task.exception() is error
    assert acknowledged.is_set()
    assert not any(isinstance(entry, tuple) and entry[0] == "commit" for entry in w.story)


async def test_fenced_is_expected(w: World) -> None:
    """Another owner took over: the lane waits, drops what comes and publishes nothing, until it owns again."""
    w.owner.fails = Fenced("here")
    assert await w.work(10) == [("take", "in", [10], 10), ("test.out", 3)]
    assert w.has() == (False, True)
    w.logic.ticks.append(Step(after=[Send("panes", 0, [])]))
    assert await w.work(10) == []
    w.owner.fails, w.owner.owned = None, True
    w.lane.start(2, {"in": 10})
    assert w.has() == (True, False)
    await until(lambda: w.story[-1:] == ["snapshot"], SECONDS, every=0)
    assert (await w.work(10, generation=2))[0] == ("take", "in", [10], 10)


async def test_start_without_possession(w: World) -> None:
    """Fenced already while taking possession: nothing is opened."""
    w.owner.owned, w.logic.opened_with = False, None
    w.lane.start(2, {"in": 10})
    assert w.logic.opened_with is None
    assert w.lane.fenced_at is not None


async def test_the_state_says_where_to_go_on(w: World) -> None:
    """Its offsets win over the begin of the log; a source that was never read begins there."""
    w.owner.offsets = {"in": 40}
    w.lane.start(2, {"in": 10, "other": 3})
    assert w.logic.opened_with == (7, {"in": 40, "other": 3})
    assert (await w.work(40, generation=2))[0] == ("take", "in", [40], 40)


async def test_ticks_need_no_records(w: World) -> None:
    """What is due happens without input, all of it at once; a step without changes commits nothing."""
    w.logic.ticks += [Step(after=[Send("panes", 0, [])]), Step([(b"a", None)])]
    await until(lambda: len(w.story) == 4, SECONDS, every=0)
    assert w.story == [("test.panes", 0), "snapshot", ("commit", [(b"a", None)], {}), "snapshot"]


async def test_release_waits_for_the_step_in_hand(w: World) -> None:
    """A partition is given up between steps, never within one; what waits is then dropped."""
    w.open.clear()
    first, second = await w.put(10), await w.put(11)
    await until(lambda: w.story, SECONDS, every=0)
    release = asyncio.create_task(w.lane.release())
    await until(lambda: w.lane._busy._waiters, SECONDS, every=0)
    assert w.has()[0]
    w.open.set()
    await asyncio.wait_for(release, SECONDS)
    await asyncio.wait_for(second.wait(), SECONDS)
    assert first.is_set()
    assert not w.has()[0]
    assert [entry for entry in w.story if entry in ("done", ("take", "in", [11], 11))] == ["done"]


async def test_a_lane_that_is_behind_makes_its_feeder_wait(w: World) -> None:
    """Memory is bounded; closing the lane releases everybody."""
    w.open.clear()
    waiting = [asyncio.create_task(w.put(10 + n)) for n in range(WAITING_SLICES + 2)]
    await until(lambda: sum(task.done() for task in waiting) == WAITING_SLICES + 1, SECONDS, every=0)
    assert not waiting[-1].done()
    w.open.set()
    await asyncio.wait_for(w.lane.close(), SECONDS)
    w.task.cancel()
    acknowledged = await asyncio.wait_for(asyncio.gather(*waiting), SECONDS)
    acknowledged.append(await w.put(99))
    await until(lambda: all(event.is_set() for event in acknowledged), SECONDS, every=0)


async def test_lag_and_the_end_of_the_log(w: World) -> None:
    """Without a known end nothing is caught up, and nothing is behind."""
    seen = []
    for end in (None, 12, 10, 9):
        w.end = end
        await w.work(0)
        seen.append((w.lane.lag("in"), w.logic.caught_up))
    assert seen == [(0, False), (2, False), (0, True), (0, True)]


async def test_markers_at_the_end_do_not_hold_the_source(w: World) -> None:
    """Behind a transaction the log seems to go on: after a quiet time somebody looks, and not all the time."""
    seen = []
    w.end = 12
    for seconds, waits in ((0, True), (5, True), (1, False), (5, False), (9, False)):
        w.now += seconds
        w.waits = waits
        await w.work(0)
        seen.append((w.looks, w.lane.lag("in")))
    assert seen == [(0, 2), (1, 2), (1, 2), (2, 0), (2, 0)]
    await w.work(0)
    assert (w.logic.caught_up, w.lane.moved_at) == (True, w.now)
    w.end = 13
    assert w.lane.lag("in") == 1
    w.lane.start(2, {"in": 10})
    assert w.lane.lag("in") == 3


async def test_nothing_is_done_between_the_fence_and_the_new_epoch(w: World) -> None:
    """A lane that got its partition back works only after the stage was told of its new epoch.

    Found by killing workers: rows left under the old epoch, were ignored as a zombie's, and then dropped.
    """
    await w.lane.release()
    w.owner.owned = True  # recovery has just settled
    w.logic.ticks = [Step([(b"k", b"v")])]
    assert await w.work(10) == []
    assert len(w.logic.ticks) == 1
    w.lane.start(2, {"in": 10})
    await until(lambda: not w.logic.ticks, SECONDS, every=0)
