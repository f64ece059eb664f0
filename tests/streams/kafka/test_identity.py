"""Is the state that we hold a state of this log? Logs made anew, cut, ruined; copies that are stale or damaged."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError

from streams.kafka.batches import write_rows
from streams.kafka.groups import Progress, encode_group
from streams.kafka.owner import Fenced, StateLogError, acquire
from streams.kafka.store import DamagedCopy, DiskStore
from tests.brokers import new_broker
from tests.streams.kafka.owners import World, delete_topic, entries, kept, make_topics, world


@pytest.fixture
async def w(bootstrap: str, prefix: str, tmp_path: Path) -> AsyncIterator[World]:
    """A fresh state log and a folder for local copies."""
    async with world(bootstrap, prefix, tmp_path) as made:
        yield made


async def test_log_made_anew_sets_the_local_copy_aside(w: World) -> None:
    """A recreated log, shorter than the state that we kept, gives a clean start; the copy is kept to look at."""
    owner = await w.owning(disk="a")
    for number in range(4):
        await owner.commit([(b"k", b"old")], {"clicks": number})
    owner.forget()
    await delete_topic(w.bootstrap, w.tp.topic)
    await make_topics(w.bootstrap, **{w.tp.topic: 1})
    fresh = await w.owning(disk="a")
    assert (entries(fresh), fresh.offsets) == ({}, {})
    await fresh.commit([(b"k", b"new")], {"clicks": 1})
    fresh.forget()
    assert entries(await w.owning(disk="a")) == {b"k": b"new"}
    aside = DiskStore(w.folder / "a.set-aside-1")
    assert kept(aside)[1] == {b"k": b"old"}  # type: ignore[index]
    aside.close()


async def test_stale_copies_of_two_workers_and_a_log_made_anew(w: World) -> None:
    """The first to write into the new log is stale itself: its claim must not make the second believe its copy."""
    owner = await w.owning(disk="a")
    await owner.commit([(b"k", b"old")], {"clicks": 100})
    owner.forget()
    second = await w.owning(disk="b")
    second.forget()
    await delete_topic(w.bootstrap, w.tp.topic)
    await make_topics(w.bootstrap, **{w.tp.topic: 1})
    first = await w.owning(disk="a")
    for number in range(10):
        await first.commit([(b"n", b"new")], {"clicks": number})
    assert entries(await w.owning(disk="b")) == {b"n": b"new"}


async def test_log_that_lost_its_end(w: World) -> None:
    """A copy that has read further than the log goes (a broker lost power) does not count: the log is the truth."""
    owner = await w.owning(disk="a")
    await owner.commit([(b"k", b"1")], {"clicks": 5})
    lost = encode_group([(b"k", b"lost")], progress=owner.progress, after={"clicks": 9})
    progress = Progress(**{name: getattr(owner.progress, name) for name in Progress.__struct_fields__})
    progress.seq, progress.offsets, progress.position = 2, {"clicks": 9}, 2 + 10 * len(lost)
    owner._store.write([(b"k", b"lost")], progress, replace=False)
    owner.forget()
    again = await w.owning(disk="a")
    assert (entries(again), again.offsets) == ({b"k": b"1"}, {"clicks": 5})


async def test_copy_of_another_history(w: World) -> None:
    """Groups in the log that do not continue the copy expose it: the log is read from its start."""
    owner = await w.owning(disk="a")
    await owner.commit([(b"k", b"1")], {"clicks": 5})
    progress = Progress(**{name: getattr(owner.progress, name) for name in Progress.__struct_fields__})
    progress.offsets = {"clicks": 9}
    owner._store.write([(b"k", b"lost")], progress, replace=False)
    owner.forget()
    other = await w.owning()
    await other.commit([(b"l", b"2")], {"clicks": 6})
    again = await w.owning(disk="a")
    assert (entries(again), again.offsets) == ({b"k": b"1", b"l": b"2"}, {"clicks": 6})


async def test_copy_that_cannot_be_read(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damage found while the copy is loaded costs time, not the state, and nothing of the half that was read stays."""
    owner = await w.owning(disk="a")
    await owner.commit([(b"k", b"1"), (b"l", b"2")], {"clicks": 5})
    await owner.commit([(b"k", None)], {"clicks": 6})
    owner.forget()
    again = await w.owner(disk="a")

    def half() -> Iterator[tuple[bytes, bytes]]:
        yield b"rubbish", b"1"
        raise DamagedCopy

    monkeypatch.setattr(again._store, "load", lambda: (Progress("x", 0, 2, {"clicks": 6}, 3), half()))
    await acquire([again], bootstrap=w.bootstrap)
    assert (entries(again), again.offsets) == ({b"l": b"2"}, {"clicks": 6})
    assert (w.folder / "a.set-aside-1").exists()


@pytest.mark.parametrize("value", [b"hello", b"", b"{}"])
async def test_foreign_record_gives_a_clear_error(w: World, value: bytes) -> None:
    """The message names the place and what to do; nothing is guessed."""
    owner = await w.owning()
    await owner.commit([(b"k", b"1")], {"clicks": 5})
    await write_rows(await w.producer(), w.tp.topic, 0, [(None, value)])
    with pytest.raises(StateLogError, match=rf"{w.tp.topic}\[0\] offset 2 holds no state record"):
        await w.owning()


async def test_foreign_first_record_gives_a_clear_error(w: World) -> None:
    """So does a log that was somebody else's topic."""
    await write_rows(await w.producer(), w.tp.topic, 0, [(None, b"hello")])
    with pytest.raises(StateLogError, match="offset 0 holds no state record"):
        await w.owning()


@pytest.mark.broker_kind("embedded")
async def test_broker_in_memory_started_anew(tmp_path: Path) -> None:
    """An empty broker in place of the old one: the copy is set aside, counting starts clean."""
    with new_broker() as broker:
        async with world(broker.bootstrap, "p.", tmp_path) as w:
            owner = await w.owning(disk="a")
            await owner.commit([(b"k", b"old")], {"clicks": 100})
    with new_broker() as broker:
        async with world(broker.bootstrap, "p.", tmp_path) as w:
            again = await w.owning(disk="a")
            assert (entries(again), again.offsets) == ({}, {})
            assert (tmp_path / "a.set-aside-1").exists()


@pytest.mark.broker_kind("apache")
async def test_broker_restarted(tmp_path: Path) -> None:
    """A broker that comes back with its log: the owner's next commit goes through, or ends it; nothing doubles."""
    broker = new_broker()
    with broker:
        async with world(broker.bootstrap, "p.", tmp_path) as w:
            owner = await w.owning(disk="a")
            await owner.commit([(b"k", b"1")], {"clicks": 1})
            await asyncio.to_thread(broker.stop)
            commit = asyncio.create_task(owner.commit([(b"k", b"2")], {"clicks": 2}))
            await asyncio.to_thread(broker.start)
            with contextlib.suppress(KafkaError, Fenced):
                await commit
            found = await w.recovered()
            assert found in (({b"k": b"1"}, {"clicks": 1}), ({b"k": b"2"}, {"clicks": 2}))
            assert found == (entries(owner), owner.offsets) or not owner.owned
