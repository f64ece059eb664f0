"""Snapshots bound the state log; what the broker deletes behind them is never missed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import TopicPartition

from streams.kafka.groups import Part, decode_record
from streams.kafka.owner import Fenced, StateLogError, acquire
from streams.kafka.reader import delete_before, log_starts, new_reader
from tests.streams.kafka.owners import World, entries, kept, world

apache = pytest.mark.broker_kind("apache")
"""The embedded broker cannot delete records."""


@pytest.fixture
async def w(bootstrap: str, prefix: str, tmp_path: Path) -> AsyncIterator[World]:
    """A fresh state log and a folder for local copies."""
    async with world(bootstrap, prefix, tmp_path) as made:
        yield made


async def log_start(w: World) -> int:
    reader = new_reader(w.bootstrap)
    await reader.start()
    try:
        return (await log_starts(reader, [w.tp]))[w.tp]
    finally:
        await reader.stop()


async def test_no_snapshot_before_it_is_due(w: World) -> None:
    """A short log is left alone."""
    owner = await w.owning(snapshot_bytes=10_000)
    await owner.commit([(b"k", b"x" * 5_000)], {"clicks": 1})
    await owner.snapshot_if_due()
    assert len(await w.log()) == 2


async def test_snapshot_is_the_state(w: World) -> None:
    """It changes nothing in memory, on disk or for a new reader, and the owner goes on behind it."""
    owner = await w.owning(disk="a", snapshot_bytes=100)
    await owner.commit([(b"k", b"x" * 600_000), (b"l", b"1")], {"clicks": 1})
    await owner.snapshot_if_due()
    last = decode_record((await w.log())[-1])
    assert isinstance(last, Part)
    assert last.snapshot
    assert owner.progress.log_bytes == 0
    await owner.commit([(b"l", b"2")], {"clicks": 2})
    expected = {b"k": b"x" * 600_000, b"l": b"2"}
    assert kept(owner._store) == (owner.progress, expected)
    assert await w.recovered() == (expected, {"clicks": 2})
    owner.forget()
    assert entries(await w.owning(disk="a")) == expected


async def test_large_state_is_not_written_more_often_than_its_size_is_logged(w: World) -> None:
    """A state larger than the limit would otherwise be written after each slice."""
    owner = await w.owning(snapshot_bytes=1_000)
    await owner.commit([(b"k", b"x" * 10_000)], {"clicks": 1})
    await owner.snapshot_if_due()
    length = len(await w.log())
    await owner.commit([(b"l", b"x" * 5_000)], {"clicks": 2})
    await owner.snapshot_if_due()
    assert decode_record((await w.log())[-1]).snapshot is False  # type: ignore[union-attr]
    for count in range(4):
        await owner.commit([(b"l", b"x" * 5_000)], {"clicks": 3 + count})
    await owner.snapshot_if_due()
    assert decode_record((await w.log())[-1]).snapshot is True  # type: ignore[union-attr]
    assert length < len(await w.log()) or await log_start(w) > 0


@pytest.mark.parametrize("disk", ["a", None])
async def test_restarts_do_not_put_the_snapshot_off(w: World, disk: str | None) -> None:
    """What earlier processes wrote counts: short lives must not let the log grow for ever."""
    snapshots = 0
    for life in range(8):
        owner = await w.owning(disk=disk, snapshot_bytes=4_000)
        await owner.commit([(b"k", b"x" * 1_000)], {"clicks": life})
        await owner.snapshot_if_due()
        snapshots += owner.progress.log_bytes == 0
        owner.forget()
    assert snapshots == 2


async def test_snapshot_of_an_empty_state(w: World) -> None:
    """Nothing is also a state."""
    owner = await w.owning(snapshot_bytes=1)
    await owner.commit([(b"k", b"1")], {"clicks": 1})
    await owner.commit([(b"k", None)], {"clicks": 2})
    await owner.snapshot_if_due()
    assert await w.recovered() == ({}, {"clicks": 2})


async def test_disk_forgets_what_a_snapshot_in_the_log_does_not_hold(w: World) -> None:
    """A copy that reads over a snapshot is replaced by it."""
    owner = await w.owning(disk="a")
    await owner.commit([(b"k", b"1"), (b"l", b"1")], {"clicks": 1})
    owner.forget()
    other = await w.owning(snapshot_bytes=1)
    await other.commit([(b"k", None)], {"clicks": 2})
    await other.snapshot_if_due()
    again = await w.owning(disk="a")
    assert entries(again) == {b"l": b"1"} == kept(again._store)[1]  # type: ignore[index]


@pytest.mark.broker_kind("embedded")
async def test_broker_that_cannot_delete_gets_few_snapshots(w: World) -> None:
    """Where snapshots do not shorten the log they come at doubling distances, and stop nothing."""
    owner = await w.owning(snapshot_bytes=2_000)
    snapshots = 0
    for count in range(60):
        await owner.commit([(b"k", b"x" * 1_000)], {"clicks": count})
        await owner.snapshot_if_due()
        snapshots += owner.progress.log_bytes == 0
    assert 3 <= snapshots <= 5
    assert (await w.recovered())[1] == {"clicks": 59}


async def test_deleting_on_a_topic_that_is_not_there(bootstrap: str) -> None:
    """A failed truncation is said, never raised: the log is only longer."""
    assert await delete_before(bootstrap, TopicPartition("no-such-topic", 0), 3) is False


@apache
async def test_truncation_bounds_the_log(w: World) -> None:
    """However many groups are written, the log holds a snapshot and what came since."""
    owner = await w.owning(snapshot_bytes=3_000)
    lengths = []
    for count in range(100):
        await owner.commit([(b"k", b"x" * 500)], {"clicks": count})
        await owner.snapshot_if_due()
        lengths.append(len(await w.log()) if count % 10 == 9 else 0)
    assert max(lengths) < 10
    assert await log_start(w) > 80
    assert await w.recovered() == ({b"k": b"x" * 500}, {"clicks": 99})


@apache
async def test_copy_older_than_the_truncated_log(w: World) -> None:
    """A local copy that the log no longer reaches is replaced by the snapshot."""
    stale = await w.owning(disk="a")
    await stale.commit([(b"old", b"1")], {"clicks": 1})
    stale.forget()
    owner = await w.owning(snapshot_bytes=1)
    await owner.commit([(b"old", None), (b"new", b"2")], {"clicks": 2})
    await owner.snapshot_if_due()
    again = await w.owning(disk="a")
    assert await log_start(w) > again._replay.began
    assert entries(again) == {b"new": b"2"} == kept(again._store)[1]  # type: ignore[index]
    assert again.progress.log_id == owner.progress.log_id


@apache
async def test_copy_newer_than_the_truncated_log(w: World) -> None:
    """A copy of the same log stays good: the snapshot names the log that its first fence named."""
    owner = await w.owning(disk="a", snapshot_bytes=1)
    await owner.commit([(b"k", b"1")], {"clicks": 1})
    await owner.snapshot_if_due()
    await owner.commit([(b"l", b"2")], {"clicks": 2})
    owner.forget()
    again = await w.owning(disk="a")
    assert again._replay.began == 3
    assert entries(again) == {b"k": b"1", b"l": b"2"}
    assert not (w.folder / "a.set-aside-1").exists()


@apache
@pytest.mark.parametrize("late", ["log_starts", "read_through"])
async def test_truncation_while_the_log_is_read(w: World, late: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A delayed truncation by the last owner, in the middle of our recovery: it is read again, nothing is lost."""
    import streams.kafka.owner as module

    stale = await w.owning(disk="a")
    await stale.commit([(b"old", b"1")], {"clicks": 1})
    stale.forget()
    owner = await w.owning(snapshot_bytes=1)
    await owner.commit([(b"new", b"2")], {"clicks": 2})
    with monkeypatch.context() as patch:
        deletions = []

        async def delayed(bootstrap: str, tp: TopicPartition, offset: int) -> bool:
            deletions.append(offset)
            return True

        patch.setattr(module, "delete_before", delayed)
        await owner.snapshot_if_due()
    real_starts, real_read = module.log_starts, module.read_through
    readings = 0

    async def starts(*args):  # type: ignore[no-untyped-def]
        found = await real_starts(*args)
        if late == "log_starts":
            await delete_before(w.bootstrap, w.tp, deletions[0])
        return found

    async def read(reader, targets):  # type: ignore[no-untyped-def]
        nonlocal readings
        readings += 1
        if late == "read_through" and readings == 2:
            await delete_before(w.bootstrap, w.tp, deletions[0])
        async for item in real_read(reader, targets):
            yield item

    monkeypatch.setattr(module, "log_starts", starts)
    monkeypatch.setattr(module, "read_through", read)
    again = await w.owner(disk="a")
    await acquire([again], bootstrap=w.bootstrap)
    assert again.owned
    assert readings > 2
    assert entries(again) == {b"old": b"1", b"new": b"2"}
    assert again.offsets == {"clicks": 2}


@apache
async def test_zombie_whose_group_is_truncated_already(w: World) -> None:
    """The new owner has moved the log's beginning past the zombie's group before the zombie looks."""
    old = await w.owning()
    new = await w.owning(snapshot_bytes=1)
    real = old._reread

    async def late(last: int) -> None:
        await new.commit([(b"k", b"1")], {"clicks": 5})
        await new.snapshot_if_due()
        await real(last)

    old._reread = late  # type: ignore[method-assign]
    with pytest.raises(Fenced):
        await old.commit([(b"k", b"zombie")], {"clicks": 3})
    assert await w.recovered() == ({b"k": b"1"}, {"clicks": 5})


@apache
async def test_log_cut_by_somebody_else(w: World) -> None:
    """Without a snapshot at its beginning the state is gone; that is said, not papered over with an empty state."""
    owner = await w.owning(disk="a")
    for count in range(5):
        await owner.commit([(b"k%d" % count, b"1")], {"clicks": count})
    await delete_before(w.bootstrap, w.tp, 3)
    with pytest.raises(StateLogError, match=r"begins at offset 3 without a snapshot.*retention\.ms"):
        await w.owning()
    owner.forget()
    assert len(entries(await w.owning(disk="a"))) == 5  # who has it on disk goes on


@apache
async def test_log_emptied_by_somebody_else(w: World) -> None:
    """The fence is then the first record: it says of which log the copy is."""
    owner = await w.owning(disk="a")
    await owner.commit([(b"k", b"1")], {"clicks": 5})
    await delete_before(w.bootstrap, w.tp, 2)
    owner.forget()
    again = await w.owning(disk="a")
    assert entries(again) == {b"k": b"1"}
    with pytest.raises(StateLogError):
        await w.owning()
