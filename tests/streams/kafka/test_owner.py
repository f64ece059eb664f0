"""Possession of a partition: fences, zombies, identity, and what the log may do to us."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streams.kafka.batches import write_rows
from streams.kafka.groups import Fence, decode_record, encode_fence, encode_group
from streams.kafka.owner import Fenced, acquire
from tests.streams.kafka.owners import World, entries, kept, world


@pytest.fixture
async def w(bootstrap: str, prefix: str, tmp_path: Path) -> AsyncIterator[World]:
    """A fresh state log and a folder for local copies."""
    async with world(bootstrap, prefix, tmp_path) as made:
        yield made


async def test_commit_is_durable_and_visible(w: World) -> None:
    """After a commit memory, disk and log agree."""
    owner = await w.owning(disk="a")
    await owner.commit([(b"k", b"1")], {"clicks": 5})
    await owner.commit([(b"k", b"2"), (b"l", b"3")], {"orders": 2})
    assert entries(owner) == {b"k": b"2", b"l": b"3"}
    assert owner.offsets == {"clicks": 5, "orders": 2}
    progress, on_disk = kept(owner._store) or (None, None)
    assert (progress, on_disk) == (owner.progress, entries(owner))
    assert await w.recovered() == (entries(owner), owner.offsets)


async def test_nothing_is_visible_before_the_acknowledgement(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the group is on its way memory and disk hold the state before it."""
    owner = await w.owning(disk="a")
    seen = []

    async def looking(*args: object) -> object:
        seen.append((dict(entries(owner)), dict(owner.offsets), kept(owner._store)[1]))  # type: ignore[index]
        return await write_rows(*args)  # type: ignore[arg-type]

    monkeypatch.setattr("streams.kafka.owner.write_rows", looking)
    await owner.commit([(b"k", b"1")], {"clicks": 5})
    assert seen == [({}, {}, {})]


async def test_group_larger_than_a_request(w: World) -> None:
    """A group of several batches, even from one huge change, arrives whole."""
    owner = await w.owning()
    await owner.commit([(b"k", b"x" * 3_000_000), (b"l", b"1")], {"clicks": 1})
    assert owner.owned
    assert (await w.recovered())[0] == {b"k": b"x" * 3_000_000, b"l": b"1"}


async def test_nobody_writes_without_possession(w: World) -> None:
    """Before it took possession, and after it gave it up, an owner cannot write."""
    owner = await w.owner()
    with pytest.raises(Fenced):
        await owner.commit([(b"k", b"1")], {"clicks": 1})
    await acquire([owner], bootstrap=w.bootstrap)
    owner.release()
    with pytest.raises(Fenced):
        await owner.commit([(b"k", b"1")], {"clicks": 1})
    assert len(await w.log()) == 1


async def test_zombie_learns_at_its_first_write(w: World) -> None:
    """The old owner's group behind a new fence raises, counts nowhere, and nothing more is written."""
    old = await w.owning(disk="old")
    await old.commit([(b"k", b"1")], {"clicks": 5})
    new = await w.owning(disk="new")
    with pytest.raises(Fenced):
        await old.commit([(b"k", b"zombie")], {"clicks": 6})
    length = len(await w.log())
    with pytest.raises(Fenced):
        await old.commit([(b"k", b"zombie")], {"clicks": 6})
    assert len(await w.log()) == length
    assert not old.owned
    assert b"zombie" not in entries(old).values()
    assert b"zombie" not in kept(old._store)[1].values()  # type: ignore[index]
    await new.commit([(b"l", b"2")], {"clicks": 7})
    assert new.owned
    assert await w.recovered() == ({b"k": b"1", b"l": b"2"}, {"clicks": 7}) == (entries(new), new.offsets)


async def test_zombie_snapshot_does_not_count(w: World) -> None:
    """A snapshot of an owner that lost the partition replaces nothing and truncates nothing."""
    old = await w.owning(snapshot_bytes=1)
    new = await w.owning()
    await new.commit([(b"k", b"1")], {"clicks": 5})
    with pytest.raises(Fenced):
        await old.snapshot_if_due()
    assert await w.recovered() == ({b"k": b"1"}, {"clicks": 5})


async def test_zombie_between_our_batches(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group torn in two by another owner's fence does not count, and its writer is told so."""
    old = await w.owning()
    new = await w.owner()

    async def torn(producer, topic, partition, rows):  # type: ignore[no-untyped-def]
        first = await write_rows(producer, topic, partition, rows[:1])
        await acquire([new], bootstrap=w.bootstrap)
        return first + await write_rows(producer, topic, partition, rows[1:])

    with monkeypatch.context() as patch:
        patch.setattr("streams.kafka.owner.write_rows", torn)
        with pytest.raises(Fenced):
            await old.commit([(b"k", b"x" * 300_000)], {"clicks": 5})
    await new.commit([(b"k", b"1")], {"clicks": 2})
    assert await w.recovered() == ({b"k": b"1"}, {"clicks": 2})


async def test_group_torn_by_a_zombie(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zombie's group between our batches spoils ours without a fence: we are told, and can begin again."""
    old = await w.owning()
    new = await w.owning()
    stale = encode_group([(b"k", b"zombie")], progress=old.progress, after={"clicks": 9})

    async def torn(producer, topic, partition, rows):  # type: ignore[no-untyped-def]
        first = await write_rows(producer, topic, partition, rows[:1])
        await write_rows(producer, topic, partition, [(None, part) for part in stale])
        return first + await write_rows(producer, topic, partition, rows[1:])

    with monkeypatch.context() as patch:
        patch.setattr("streams.kafka.owner.write_rows", torn)
        with pytest.raises(Fenced):
            await new.commit([(b"k", b"x" * 300_000)], {"clicks": 5})
    await acquire([new], bootstrap=w.bootstrap)
    await new.commit([(b"k", b"1")], {"clicks": 2})
    assert await w.recovered() == ({b"k": b"1"}, {"clicks": 2})


async def test_zombie_records_before_ours_do_no_harm(w: World) -> None:
    """An owner whose expected offset was taken by a zombie reads the log, finds its own group whole, goes on."""
    old = await w.owning(disk="old")
    new = await w.owning(disk="new")
    stale = encode_group([(b"k", b"zombie")], progress=old.progress, after={"clicks": 9})
    await write_rows(await w.producer(), w.tp.topic, 0, [(None, part) for part in stale])
    await new.commit([(b"k", b"1")], {"clicks": 5})
    await new.commit([(b"l", b"2")], {"clicks": 6})
    assert new.owned
    assert entries(new) == {b"k": b"1", b"l": b"2"} == kept(new._store)[1]  # type: ignore[index]
    assert await w.recovered() == (entries(new), {"clicks": 6})


async def test_batch_repeated_by_the_producer(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch in the log twice, as after a lost acknowledgement, neither counts twice nor fences its writer."""
    owner = await w.owning()

    async def repeating(producer, topic, partition, rows):  # type: ignore[no-untyped-def]
        for row in rows:
            await write_rows(producer, topic, partition, [row])
            acks = await write_rows(producer, topic, partition, [row])
        return acks

    monkeypatch.setattr("streams.kafka.owner.write_rows", repeating)
    await owner.commit([(b"k", b"x" * 700_000)], {"clicks": 5})
    await owner.commit([(b"l", b"1")], {"clicks": 6})
    assert owner.owned
    assert await w.recovered() == (entries(owner), {"clicks": 6})


async def test_possession_can_return(w: World) -> None:
    """A partition that comes back continues from memory and what others wrote meanwhile."""
    owner = await w.owning(disk="a")
    await owner.commit([(b"k", b"1")], {"clicks": 5})
    owner.release()
    other = await w.owning(disk="b")
    await other.commit([(b"l", b"2")], {"clicks": 8})
    await acquire([owner], bootstrap=w.bootstrap)
    assert entries(owner) == {b"k": b"1", b"l": b"2"} == kept(owner._store)[1]  # type: ignore[index]
    assert owner.offsets == {"clicks": 8}
    with pytest.raises(Fenced):
        await other.commit([], {"clicks": 9})


async def test_possession_waits_for_the_group_on_its_way(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taking possession again during a commit does not apply that commit twice."""
    owner = await w.owning()
    sent, go_on = asyncio.Event(), asyncio.Event()

    async def slow(*args: object) -> object:
        acks = await write_rows(*args)  # type: ignore[arg-type]
        sent.set()
        await go_on.wait()
        return acks

    monkeypatch.setattr("streams.kafka.owner.write_rows", slow)
    applied = []
    owner.state.before_apply = lambda: applied.append(1)  # type: ignore[attr-defined]
    commit = asyncio.create_task(owner.commit([(b"k", b"1")], {"clicks": 5}))
    await sent.wait()
    again = asyncio.create_task(acquire([owner], bootstrap=w.bootstrap))
    assert not (await asyncio.wait([again], timeout=0.5))[0]
    go_on.set()
    await asyncio.gather(commit, again)
    assert (owner.progress.seq, len(applied)) == (1, 1)
    assert owner.owned


async def test_two_commits_at_once_are_refused(w: World) -> None:
    """The second would be computed from a state that the first is about to change."""
    owner = await w.owning()
    results = await asyncio.gather(
        owner.commit([(b"k", b"1")], {"clicks": 1}), owner.commit([(b"k", b"2")], {"clicks": 2}), return_exceptions=True
    )
    assert isinstance(results[1], RuntimeError)
    assert entries(owner) == {b"k": b"1"}


async def test_forgetting_during_a_commit(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that was acknowledged after its owner was forgotten is in the log, not in an emptied memory."""
    owner = await w.owning()

    async def forgetting(*args: object) -> object:
        acks = await write_rows(*args)  # type: ignore[arg-type]
        owner.forget()
        return acks

    monkeypatch.setattr("streams.kafka.owner.write_rows", forgetting)
    with pytest.raises(Fenced):
        await owner.commit([(b"k", b"1")], {"clicks": 1})
    assert entries(owner) == {}
    assert (await w.recovered())[0] == {b"k": b"1"}


async def test_local_copy_and_log_recover_the_same(w: World) -> None:
    """With a copy only what is missing is read; the result is that of reading everything."""
    owner = await w.owning(disk="a")
    for number in range(5):
        await owner.commit([(b"%d" % (number % 3), b"%d" % number)], {"clicks": number})
    owner.forget()
    other = await w.owning()
    await other.commit([(b"1", None), (b"9", b"9")], {"clicks": 17})
    with_copy = await w.owning(disk="a")
    assert with_copy._replay.began == 5
    without = await w.owning()
    assert entries(with_copy) == entries(without)
    assert with_copy.offsets == without.offsets


async def test_several_partitions_at_once(bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """Each partition of a state log gets its own fence and its own state."""
    async with world(bootstrap, prefix, tmp_path, partitions=3) as w:
        owners = [await w.owner(partition=number) for number in range(3)]
        await acquire(owners, bootstrap=bootstrap)
        for number, owner in enumerate(owners):
            for count in range(number * 3):
                await owner.commit([(b"p", b"%d" % number)], {"clicks": count})
        again = [await w.owner(partition=number) for number in range(3)]
        await acquire(again, bootstrap=bootstrap)
        assert [entries(owner) for owner in again] == [{}, {b"p": b"1"}, {b"p": b"2"}]
        assert all(owner.owned for owner in again)


async def test_two_owners_race_for_an_empty_log(w: World) -> None:
    """Both fence; exactly one of them can write."""
    owners = [await w.owner(), await w.owner()]
    await asyncio.gather(*(acquire([owner], bootstrap=w.bootstrap) for owner in owners))
    results = await asyncio.gather(
        *(owner.commit([(b"k", b"%d" % number)], {"clicks": 1}) for number, owner in enumerate(owners)),
        return_exceptions=True,
    )
    assert sorted(map(type, results), key=str) == sorted([type(None), Fenced], key=str)
    assert (await w.recovered())[0] == {b"k": b"%d" % results.index(None)}


async def test_fence_names_its_writer(w: World) -> None:
    """Whoever debugs a log sees who claimed it."""
    await w.owning()
    record = decode_record((await w.log())[0])
    assert isinstance(record, Fence)
    assert (record.owner, record.log_id, len(record.nonce)) == ("test", "", 16)
    assert encode_fence(record) == (await w.log())[0]
