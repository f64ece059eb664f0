"""The runtime over a real broker: possession, positions, takeover, and what ends the process."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from streams.clock import monotonic
from streams.kafka import runtime as module
from streams.kafka.reader import new_reader, read_through
from streams.kafka.runtime import EXIT_FAILED, EXIT_MEND, STUCK_SECONDS, Runtime
from streams.kafka.slices import Slice
from streams.kafka.transport import TP
from streams.metrics import Metrics
from tests.streams.harness import FakeMetrics, Raw, settings
from tests.streams.kafka.counting import Counting, CountingStage
from tests.streams.kafka.owners import make_topics
from tests.waiting import until

SECONDS = 30.0


class Exited(BaseException):
    """Stands for the end of the process."""


class World:
    """Workers over the same topics, each with its runtime."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, stack: AsyncExitStack) -> None:
        self.settings = settings(broker=bootstrap, topic_prefix=prefix)
        self.prefix = prefix
        self.folder = folder
        self.prepared = 0
        self.fails: Exception | None = None
        self._stack = stack

    def worker(self, *, disk: bool = False) -> Runtime:
        runtime = Runtime(
            self.settings,
            [CountingStage()],
            metrics=cast(Metrics, FakeMetrics()),
            folder=self.folder if disk else None,
            prepare=self.prepare,
            name="test",
        )
        self._stack.push_async_callback(runtime.stop)
        return runtime

    async def prepare(self) -> None:
        self.prepared += 1
        if self.fails is not None:
            raise self.fails

    def tps(self, *numbers: int, topics: Iterable[str] = ("left", "right")) -> set[TP]:
        return {TP(self.prefix + topic, number) for topic in topics for number in numbers}

    async def give(self, runtime: Runtime, topic: str, *values: bytes, number: int = 0, generation: int = 1) -> None:
        """Hand a slice to a worker, at the offset it has come to; wait until it is dealt with."""
        tp, dealt = TP(self.prefix + topic, number), asyncio.Event()
        start = runtime.durable_offset(tp) or 0
        records = cast(Sequence[ConsumerRecord], [Raw(start + n, value) for n, value in enumerate(values)])
        await runtime.handle(Slice(tp.topic, number, generation, records), dealt.set)
        await asyncio.wait_for(dealt.wait(), SECONDS)

    async def recovered(self) -> Counting:
        """Return what a new worker gets from the state log."""
        runtime = self.worker()
        await runtime.acquire(self.tps(0), 1)
        return counting(runtime)

    async def fill(self, topic: str, count: int, number: int = 0) -> None:
        """Write so many records to a source, so that its log is as long as a state may say."""
        owner = self.worker()
        await owner.acquire(set(), 1)
        assert owner._producer is not None
        for _ in range(count):
            await owner._producer.send_and_wait(self.prefix + topic, b"v", partition=number)


def counting(runtime: Runtime, number: int = 0) -> Counting:
    return cast(CountingStage, runtime.stages[0]).opened[number]


@pytest.fixture
async def w(bootstrap: str, prefix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[World]:
    """Topics with two partitions; the end of the process is an exception."""
    await make_topics(bootstrap, **{prefix + name: 2 for name in ("left", "right", "state")})

    def exited(code: int) -> None:
        raise Exited(code)

    monkeypatch.setattr(os, "_exit", exited)
    async with AsyncExitStack() as stack:
        yield World(bootstrap, prefix, tmp_path, stack)


async def test_unread_sources_are_read_from_their_beginning(w: World) -> None:
    """A new deployment begins at the oldest record; reference data are there before the first partition."""
    runtime = w.worker()
    assert runtime.health() == "no partitions assigned yet"
    assert await runtime.acquire(w.tps(0, 1), 1) == dict.fromkeys(w.tps(0, 1), 0)
    assert (w.prepared, runtime.health()) == (1, None)
    assert counting(runtime).calls == ["opened [('left', 0), ('right', 0)]"]
    assert runtime.durable_offset(TP(w.prefix + "left", 0)) is None


@pytest.mark.parametrize("disk", [False, True])
async def test_the_next_worker_goes_on_where_the_state_says(w: World, disk: bool) -> None:
    """Positions and numbers come from the state log, with a local copy and without one."""
    await w.fill("left", 3)
    await w.fill("right", 1)
    first = w.worker(disk=disk)
    await first.acquire(w.tps(0), 1)
    await w.give(first, "left", b"1", b"2")
    await w.give(first, "right", b"3")
    await w.give(first, "left", b"4")
    await first.stop()
    second = w.worker(disk=disk)
    assert await second.acquire(w.tps(0), 1) == {TP(w.prefix + "left", 0): 3, TP(w.prefix + "right", 0): 1}
    assert counting(second).counts == {b"left": b"3", b"right": b"1"}
    assert bool(list(w.folder.iterdir())) == disk


async def test_a_worker_that_was_overtaken_writes_nothing(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its next step is fenced; when no rebalance comes for long it ends, so that its group shares anew."""
    await w.fill("left", 2)
    zombie, owner = w.worker(), w.worker()
    await zombie.acquire(w.tps(0), 1)
    await owner.acquire(w.tps(0), 1)
    await w.give(owner, "left", b"1")
    await w.give(zombie, "left", b"1")
    assert (await w.recovered()).counts == {b"left": b"1"}
    await owner.acquire(w.tps(0), 2)
    zombie.watch()
    owner.watch()
    now = monotonic()
    monkeypatch.setattr(module, "monotonic", lambda: now + STUCK_SECONDS + 1)
    assert zombie.health() == "count[0] was taken over by another worker"
    assert owner.health() is None
    owner.watch()
    with pytest.raises(Exited, match=str(EXIT_FAILED)):
        zombie.watch()


async def test_taking_possession_again_heals(w: World) -> None:
    """A rebalance gives the partition back: the worker goes on from what the other one did."""
    await w.fill("left", 2)
    first, second = w.worker(), w.worker()
    await first.acquire(w.tps(0), 1)
    await second.acquire(w.tps(0), 1)
    await w.give(second, "left", b"1")
    await w.give(first, "left", b"1")
    await second.stop()
    assert (await first.acquire(w.tps(0), 2))[TP(w.prefix + "left", 0)] == 1
    await w.give(first, "left", b"2", generation=2)
    assert counting(first).counts == {b"left": b"2"}


async def test_what_is_lost_is_closed(w: World) -> None:
    """A partition that went to another worker is forgotten, and its slices are acknowledged unread."""
    await w.fill("left", 1, number=1)
    runtime = w.worker()
    await runtime.acquire(w.tps(0, 1), 1)
    await w.give(runtime, "left", b"1", number=1)
    lost = counting(runtime, 1)
    await runtime.acquire(w.tps(0), 2)
    assert (lost.calls[-1], lost.counts) == ("closed", {})
    await w.give(runtime, "left", b"2", number=1, generation=2)
    assert lost.counts == {}
    assert runtime.durable_offset(TP(w.prefix + "left", 1)) is None
    assert set(runtime.lanes) == {("count", 0)}


async def test_a_worker_without_partitions(w: World) -> None:
    """More workers than partitions: the spare one shows nothing, and is healthy."""
    runtime = w.worker()
    await runtime.acquire(w.tps(0), 1)
    lost = counting(runtime)
    assert await runtime.acquire(set(), 2) == {}
    assert (lost.calls[-1], runtime.lanes, runtime.health()) == ("closed", {}, None)


async def test_release_stops_writing_until_the_next_possession(w: World) -> None:
    """Between revocation and assignment nothing is worked on."""
    runtime = w.worker()
    await runtime.acquire(w.tps(0), 1)
    await runtime.release()
    await w.give(runtime, "left", b"1")
    assert counting(runtime).counts == {}
    await runtime.acquire(w.tps(0), 2)
    await w.give(runtime, "left", b"1", generation=2)
    assert counting(runtime).counts == {b"left": b"1"}


async def test_possession_waits_for_the_step_in_hand(w: World) -> None:
    """A step that would end after the new beginning would undo it."""
    runtime = w.worker()
    await runtime.acquire(w.tps(0), 1)
    lane = runtime.lanes["count", 0]
    async with lane._busy:
        again = asyncio.create_task(runtime.acquire(w.tps(0), 2))
        await asyncio.wait([again], timeout=0.5)
        assert not again.done()
        assert lane.generation == 1
    await asyncio.wait_for(again, SECONDS)
    assert lane.generation == 2


async def test_split_ownership_ends_the_worker(w: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Sources of one number on two workers would give its state two owners."""
    runtime = w.worker()
    with pytest.raises(Exited, match=str(EXIT_FAILED)):
        await runtime.acquire(w.tps(0) | w.tps(1, topics=["left"]), 1)
    assert "they need equal partition counts" in capsys.readouterr().out
    assert runtime.lanes == {}


async def test_a_source_that_was_made_anew(w: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The state has read further than the topic goes: somebody must decide, so the status is that of a mistake."""
    await w.fill("left", 1)
    first = w.worker()
    await first.acquire(w.tps(0), 1)
    await w.give(first, "left", b"1", b"2", b"3")
    await first.stop()
    with pytest.raises(Exited, match=str(EXIT_MEND)):
        await w.worker().acquire(w.tps(0), 1)
    line = next(line for line in capsys.readouterr().out.splitlines() if "worker stops" in line)
    assert f"{w.prefix}left[0] ends at 1 but the state has read up to 3" in line


async def test_a_step_that_fails_ends_the_worker(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane that went on after an error would not be exact; nothing of the step is in the log."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    runtime = w.worker()
    await runtime.acquire(w.tps(0), 1)
    await w.give(runtime, "left", b"fail")
    await until(lambda: codes, SECONDS, every=0)
    assert codes == [EXIT_FAILED]
    assert runtime.durable_offset(TP(w.prefix + "left", 0)) is None
    reader = new_reader(w.settings.broker)
    await reader.start()
    target = {TopicPartition(w.prefix + "state", 0): (0, 0)}
    assert len([record async for _, record in read_through(reader, target)]) == 1
    await reader.stop()


async def test_possession_that_fails_ends_the_worker(w: World) -> None:
    """Faust would swallow the error and leave the worker idle."""
    w.fails = RuntimeError("no reference data")
    with pytest.raises(Exited, match=str(EXIT_FAILED)):
        await w.worker().acquire(w.tps(0), 1)


async def test_health_of_a_lane_that_is_stuck(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind and not moving for a minute is sick; behind alone is work, quiet alone is rest."""
    runtime = w.worker()
    await runtime.acquire(w.tps(0), 1)
    runtime.lanes["count", 0].lag = lambda topic: 5  # type: ignore[method-assign]
    assert runtime.health() is None
    now = monotonic()
    monkeypatch.setattr(module, "monotonic", lambda: now + STUCK_SECONDS + 1)
    assert runtime.health() == "count[0] is 10 records behind and has not moved for 60 s"
    cast(Any, runtime)._metrics = metrics = FakeMetrics()
    runtime.watch()
    assert metrics.lags == {("left", 0): 5, ("right", 0): 5}
