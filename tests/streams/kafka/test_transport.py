"""The consumer under Faust: slices, positions from the state logs, and nothing from before a seek. Without a broker."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from faust.transport.drivers.aiokafka import Consumer
from faust.types import TP

from streams.kafka.slices import Slice
from streams.kafka.transport import Sources, _Consumer, new_transport

CLICKS, ORDERS, OTHER = TP("clicks", 0), TP("orders", 0), TP("replies", 0)


class Stages(Sources):
    """Records what the transport asks; ``acquiring`` can be held up."""

    def __init__(self) -> None:
        super().__init__(["clicks", "orders"], slice_records=2, fetch_wait_ms=50)
        self.calls: list[object] = []
        self.positions: dict[TP, int] = {CLICKS: 5, ORDERS: 0}
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.acquiring = asyncio.Event()

    async def acquire(self, partitions: set[TP], generation: int) -> Mapping[TP, int]:
        self.calls.append(("acquire", partitions, generation))
        self.acquiring.set()
        await self.go_on.wait()
        return self.positions

    async def release(self) -> None:
        self.calls.append("release")

    def durable_offset(self, tp: TP) -> int | None:
        return self.positions.get(tp)


class Rig:
    """A consumer whose Faust side is replaced by what a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sources = Stages()
        self.fetched: dict[TP, list[Any]] = {}
        self.sought: list[object] = []
        rig = self

        async def fetch(self: object, active: object, timeout: float) -> dict[TP, list[Any]]:
            await asyncio.sleep(0)
            return rig.fetched

        async def seek_to_committed(self: object) -> None:
            rig.sought.append("committed")

        async def nothing(self: object, *args: object) -> None: ...

        async def seek_wait(positions: Mapping[TP, int]) -> None:
            rig.sought.append(dict(positions))

        monkeypatch.setattr(Consumer, "_getmany", fetch)
        monkeypatch.setattr(Consumer, "perform_seek", seek_to_committed)
        monkeypatch.setattr(Consumer, "on_partitions_revoked", nothing)
        monkeypatch.setattr(Consumer, "resume_partitions", lambda self, tps: None)
        consumer = self.consumer = _Consumer.__new__(_Consumer)
        consumer.sources = self.sources
        consumer.generation = 0
        consumer._wanted = consumer._positioned = False
        consumer._seek_lock = asyncio.Lock()
        consumer._committed_offset = {}
        consumer.assignment = lambda: {CLICKS, ORDERS, OTHER}  # type: ignore[method-assign]
        consumer.seek_wait = seek_wait  # type: ignore[method-assign]

    async def poll(self, **records: int) -> dict[TP, list[Any]]:
        self.fetched = {
            TP(topic, 0): [SimpleNamespace(offset=n) for n in range(count)] for topic, count in records.items()
        }
        return await self.consumer._getmany(None, 1.0)  # type: ignore[no-any-return]


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A consumer with two source topics and an ordinary one."""
    return Rig(monkeypatch)


async def positioned(rig: Rig) -> Rig:
    rig.consumer.resume_partitions({CLICKS, ORDERS})
    await rig.consumer.perform_seek()
    return rig


async def test_sources_come_in_slices_and_others_as_they_are(rig: Rig) -> None:
    """Each partition's poll is cut; a topic that is no source stays a list of records."""
    await positioned(rig)
    found = await rig.poll(clicks=5, replies=3)
    assert [len(piece.records) for piece in found[CLICKS]] == [2, 2, 1]
    assert all(isinstance(piece, Slice) and piece.generation == rig.consumer.generation for piece in found[CLICKS])
    assert [record.offset for record in found[OTHER]] == [0, 1, 2]


async def test_positions_come_from_the_state_logs(rig: Rig) -> None:
    """The group's offsets are sought first, for ordinary topics, and overruled for sources; offset 0 too."""
    await positioned(rig)
    assert rig.sought == ["committed", {CLICKS: 5, ORDERS: 0}]
    assert rig.sources.calls == [("acquire", {CLICKS, ORDERS}, rig.consumer.generation)]


async def test_nothing_is_delivered_before_the_seek(rig: Rig) -> None:
    """What a fetch brings between the assignment and the seek lies somewhere else."""
    assert await rig.poll(clicks=3, replies=1) == {OTHER: rig.fetched[OTHER]}
    await positioned(rig)
    assert CLICKS in await rig.poll(clicks=3)
    rig.consumer.resume_partitions({CLICKS})
    assert CLICKS not in await rig.poll(clicks=3)


async def test_fetch_waits_for_the_seek(rig: Rig) -> None:
    """A fetch during a seek sees the new generation, never the old position."""
    rig.sources.go_on.clear()
    rig.consumer.resume_partitions({CLICKS})
    seek = asyncio.create_task(rig.consumer.perform_seek())
    await rig.sources.acquiring.wait()
    poll = asyncio.create_task(rig.poll(clicks=1))
    assert not (await asyncio.wait([poll], timeout=0.05))[0]
    rig.sources.go_on.set()
    await seek
    assert (await poll)[CLICKS][0].generation == rig.consumer.generation


async def test_possession_is_taken_only_when_asked_for(rig: Rig) -> None:
    """Faust also seeks while a worker that just lost its partitions stands still: no fence may be written then."""
    await rig.consumer.perform_seek()
    assert rig.sources.calls == []
    await positioned(rig)
    await rig.consumer.perform_seek()
    assert len(rig.sources.calls) == 1
    rig.consumer.resume_partitions({OTHER})
    await rig.consumer.perform_seek()
    assert len(rig.sources.calls) == 1


@pytest.mark.parametrize(("assigned", "told"), [(set(), True), ({OTHER}, True), ({CLICKS, ORDERS}, False)])
async def test_an_assignment_of_nothing_is_told(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, assigned: set[TP], told: bool
) -> None:
    """Faust does not seek then; the stages must hear all the same that everything is gone."""

    async def nothing(self: object, *args: object) -> None: ...

    monkeypatch.setattr(Consumer, "on_partitions_assigned", nothing)
    await rig.consumer.on_partitions_assigned(assigned)
    assert rig.sources.calls == ([("acquire", set(), rig.consumer.generation)] if told else [])


async def test_revocation_stops_everything(rig: Rig) -> None:
    """The stages are released, nothing more is delivered, no fence is written, old slices are of the past."""
    await positioned(rig)
    generation = rig.consumer.generation
    await rig.consumer.on_partitions_revoked({CLICKS, ORDERS})
    assert rig.sources.calls[-1] == "release"
    assert rig.consumer.generation > generation
    assert CLICKS not in await rig.poll(clicks=3)
    await rig.consumer.perform_seek()
    assert rig.sources.calls[-1] == "release"


async def test_each_seek_begins_a_generation(rig: Rig) -> None:
    """Slices from before a rebalance can be told from those after it."""
    await positioned(rig)
    first = rig.consumer.generation
    await positioned(rig)
    assert rig.consumer.generation > first


async def test_revocation_during_possession(rig: Rig) -> None:
    """Partitions revoked while they were being acquired are given up again."""
    rig.sources.go_on.clear()
    rig.consumer.resume_partitions({CLICKS, ORDERS})
    seek = asyncio.create_task(rig.consumer.perform_seek())
    await rig.sources.acquiring.wait()
    await rig.consumer.on_partitions_revoked({CLICKS, ORDERS})
    rig.sources.go_on.set()
    await seek
    assert rig.sources.calls[-1] == "release"
    assert len(rig.sources.calls) >= 3
    assert CLICKS not in await rig.poll(clicks=3)


async def test_failed_seek_is_tried_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust swallows the error of a seek while the flow is stopped; the next call must not think it was done."""

    async def failing(positions: object) -> None:
        raise OSError

    good = rig.consumer.seek_wait
    rig.consumer.seek_wait = failing  # type: ignore[method-assign]
    rig.consumer.resume_partitions({CLICKS, ORDERS})
    with pytest.raises(OSError):  # noqa: PT011
        await rig.consumer.perform_seek()
    rig.consumer.seek_wait = good  # type: ignore[method-assign]
    await rig.consumer.perform_seek()
    assert CLICKS in await rig.poll(clicks=3)


async def test_group_is_told_the_durable_offset(rig: Rig) -> None:
    """What a lag tool sees is what is in the state, not what was handed over."""
    consumer = rig.consumer
    consumer._acked = {CLICKS: [1, 2, 3]}  # type: ignore[dict-item]
    consumer._acked_index = {CLICKS: {1, 2, 3}}  # type: ignore[dict-item]
    assert consumer._new_offset(CLICKS) == 5
    assert (consumer._acked, consumer._acked_index) == ({CLICKS: []}, {CLICKS: set()})


def test_transport_carries_its_sources() -> None:
    """Each application has a transport of its own."""
    first, second = Stages(), Stages()
    app = SimpleNamespace(loop=None)
    made = [new_transport(sources)("kafka://", app) for sources in (first, second)]
    assert [transport.sources for transport in made] == [first, second]
