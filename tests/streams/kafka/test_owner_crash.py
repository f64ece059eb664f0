"""An owner dies at every step of a slice; the next one recovers exactly, from its disk and from the log alone."""

import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError, KafkaTimeoutError

from streams.kafka.batches import write_rows
from streams.kafka.owner import Fenced, PartitionOwner, acquire
from tests.streams.kafka.crash_worker import KEYS, count_slice
from tests.streams.kafka.owners import World, entries, kept, world


@pytest.fixture
async def w(bootstrap: str, prefix: str, tmp_path: Path) -> AsyncIterator[World]:
    """A fresh state log and a folder for local copies."""
    async with world(bootstrap, prefix, tmp_path) as made:
        yield made


class Killed(BaseException):
    """What ends our process here."""


BEFORE = {b"a": b"1", b"b": b"2"}
CHANGES = [(b"a", None), (b"b", b"x" * 700_000), (b"c", b"3")]
AFTER = {b"b": b"x" * 700_000, b"c": b"3"}


def fail(*_: object, **__: object) -> None:
    raise Killed


def dies_after(parts: int, error: type[BaseException] = Killed) -> Callable[..., object]:
    """Return a ``write_rows`` that sends only the first records, one batch each, and then fails."""

    async def write(producer, topic, partition, rows):  # type: ignore[no-untyped-def]
        for row in rows[:parts]:
            await write_rows(producer, topic, partition, [row])
        raise error

    return write


def before_send(owner: PartitionOwner, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("streams.kafka.owner.write_rows", dies_after(0))


def after_part_1_of_3(owner: PartitionOwner, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("streams.kafka.owner.write_rows", dies_after(1))


def after_part_2_of_3(owner: PartitionOwner, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("streams.kafka.owner.write_rows", dies_after(2))


def all_sent_outcome_unknown(owner: PartitionOwner, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("streams.kafka.owner.write_rows", dies_after(3))


def after_ack_before_memory(owner: PartitionOwner, patch: pytest.MonkeyPatch) -> None:
    owner.state.before_apply = fail  # type: ignore[attr-defined]


def after_memory_before_disk(owner: PartitionOwner, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(owner._store, "write", fail)


STEPS = [
    (before_send, BEFORE),
    (after_part_1_of_3, BEFORE),
    (after_part_2_of_3, BEFORE),
    (all_sent_outcome_unknown, AFTER),
    (after_ack_before_memory, AFTER),
    (after_memory_before_disk, AFTER),
]


async def crashed(w: World, owner: PartitionOwner) -> None:
    """Leave ``owner`` as a kill leaves it: its files closed, nothing else done."""
    owner._store.close()


async def check(w: World, expected: dict[bytes, bytes], offsets: dict[str, int]) -> None:
    """A new owner with the old disk, one without, and one with that disk again all get ``expected``."""
    for disk in ("disk", None, "disk"):
        owner = await w.owning(disk=disk)
        assert (entries(owner), owner.offsets) == (expected, offsets)
        if disk:
            assert kept(owner._store) == (owner.progress, expected)
        owner.forget()
    owner = await w.owning(disk="disk")
    await owner.commit([(b"next", b"1")], {"clicks": 99})
    assert (await w.recovered())[0] == expected | {b"next": b"1"}


@pytest.mark.parametrize(("step", "expected"), STEPS, ids=[step.__name__ for step, _ in STEPS])
async def test_killed_in_a_commit(
    w: World, step: Callable[..., None], expected: dict[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group counts as a whole or not at all, and the offsets say which."""
    owner = await w.owning(disk="disk")
    await owner.commit(list(BEFORE.items()), {"clicks": 5})
    with monkeypatch.context() as patch:
        step(owner, patch)
        with pytest.raises(Killed):
            await owner.commit(CHANGES, {"clicks": 6})
    await crashed(w, owner)
    await check(w, expected, {"clicks": 5 if expected is BEFORE else 6})


@pytest.mark.parametrize("sent", [0, 1, 2, 3])
async def test_killed_in_a_snapshot(w: World, sent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a snapshot replaces nothing; a whole one replaces the state by itself."""
    owner = await w.owning(disk="disk", snapshot_bytes=1)
    await owner.commit([*CHANGES, (b"a", b"1")], {"clicks": 5})
    expected = dict(entries(owner))
    with monkeypatch.context() as patch:
        patch.setattr("streams.kafka.owner.write_rows", dies_after(sent))
        with pytest.raises(Killed):
            await owner.snapshot_if_due()
    await crashed(w, owner)
    await check(w, expected, {"clicks": 5})


async def test_killed_between_snapshot_and_truncation(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is longer than it could be, and as good."""
    owner = await w.owning(disk="disk", snapshot_bytes=1)
    await owner.commit(list(BEFORE.items()), {"clicks": 5})
    with monkeypatch.context() as patch:
        patch.setattr("streams.kafka.owner.delete_before", fail)
        with pytest.raises(Killed):
            await owner.snapshot_if_due()
    await crashed(w, owner)
    await check(w, BEFORE, {"clicks": 5})


@pytest.mark.parametrize("error", [KafkaError, KafkaTimeoutError, OSError, Killed])
@pytest.mark.parametrize("sent", [0, 1, 3])
async def test_nothing_more_is_written_after_a_failed_send(
    w: World, error: type[BaseException], sent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should the process live on, its epoch is over; possession taken again finds out what counted."""
    owner = await w.owning(disk="disk")
    await owner.commit(list(BEFORE.items()), {"clicks": 5})
    with monkeypatch.context() as patch:
        patch.setattr("streams.kafka.owner.write_rows", dies_after(sent, error))
        with pytest.raises(error):
            await owner.commit(CHANGES, {"clicks": 6})
    length = len(await w.log())
    with pytest.raises(Fenced):
        await owner.commit([(b"other", b"1")], {"clicks": 6})
    assert len(await w.log()) == length
    await acquire([owner], bootstrap=w.bootstrap)
    assert (entries(owner), owner.offsets) == ((AFTER, {"clicks": 6}) if sent == 3 else (BEFORE, {"clicks": 5}))


@pytest.mark.parametrize("disk", ["disk", None])
@pytest.mark.parametrize("step", [after_ack_before_memory, after_memory_before_disk])
async def test_memory_and_disk_agree_after_a_failed_application(
    w: World, step: Callable[..., None], disk: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Possession taken again by the same process starts from the disk, not from a memory half changed."""
    owner = await w.owning(disk=disk)
    await owner.commit(list(BEFORE.items()), {"clicks": 5})
    with monkeypatch.context() as patch:
        step(owner, patch)
        with pytest.raises(Killed):
            await owner.commit(CHANGES, {"clicks": 6})
    owner.state.before_apply = lambda: None  # type: ignore[attr-defined]
    await acquire([owner], bootstrap=w.bootstrap)
    await owner.commit([(b"d", b"4")], {"clicks": 7})
    assert entries(owner) == AFTER | {b"d": b"4"}
    if disk:
        assert kept(owner._store) == (owner.progress, entries(owner))


async def test_interrupted_second_reading_does_not_adopt_the_new_epoch(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An owner that failed while it learned of its successor must never write under the successor's epoch."""
    old = await w.owning()
    new = await w.owning()
    real_feed = old.feed

    def feed(offset: int, value: bytes) -> None:
        real_feed(offset, value)
        raise KafkaError

    with monkeypatch.context() as patch:
        patch.setattr(old, "feed", feed)
        with pytest.raises(KafkaError):
            await old.commit([(b"k", b"zombie")], {"clicks": 5})
    with pytest.raises(Fenced):
        await old.commit([(b"k", b"zombie")], {"clicks": 5})
    await new.commit([(b"k", b"1")], {"clicks": 2})
    assert await w.recovered() == ({b"k": b"1"}, {"clicks": 2})


@pytest.mark.parametrize("step", ["write_fence", "feed", "settle", "check_start"])
async def test_killed_while_taking_possession(w: World, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Possession half taken changes nothing but the epoch."""
    owner = await w.owning(disk="disk")
    await owner.commit(list(BEFORE.items()), {"clicks": 5})
    owner.forget()
    dying = await w.owner(disk="disk")
    monkeypatch.setattr(dying, step, fail)
    with pytest.raises(Killed):
        await acquire([dying], bootstrap=w.bootstrap)
    assert not dying.owned
    await crashed(w, dying)
    await check(w, BEFORE, {"clicks": 5})


async def test_possession_interrupted_inside_a_group(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner whose reading failed between two parts owns nothing, and can read that group again."""
    owner = await w.owning()
    other = await w.owning()
    await other.commit([(b"k", b"x" * 700_000)], {"clicks": 5})
    real_feed, fed = owner.feed, []

    def feed(offset: int, value: bytes) -> None:
        real_feed(offset, value)
        fed.append(offset)
        if len(fed) == 3:
            raise KafkaError

    assert owner.owned  # as far as it knows
    with monkeypatch.context() as patch:
        patch.setattr(owner, "feed", feed)
        with pytest.raises(KafkaError):
            await acquire([owner], bootstrap=w.bootstrap)
    assert not owner.owned
    await acquire([owner], bootstrap=w.bootstrap)
    assert (entries(owner), owner.offsets) == ({b"k": b"x" * 700_000}, {"clicks": 5})


async def test_random_failures_lose_and_double_nothing(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting a source through failures at random steps, with and without a disk, gives the exact counts."""
    chance = random.Random(5)
    total, failures = 3_000, 0
    owner = await w.owning(disk="disk", snapshot_bytes=4_000)
    while (first := owner.offsets.get("numbers", 0)) < total:
        last = min(total, first + chance.randint(1, 120))
        with monkeypatch.context() as patch, suppress(Killed):
            if chance.random() < 0.4:
                chance.choice(STEPS)[0](owner, patch)
            await owner.commit(count_slice(entries(owner), first, last), {"numbers": last})
            await owner.snapshot_if_due()
            continue
        failures += 1
        await crashed(w, owner)
        owner = await w.owning(disk=chance.choice(["disk", "other", None]), snapshot_bytes=4_000)
    assert failures > 5
    truth = {b"%d" % key: b"%d" % len(range(key, total, KEYS)) for key in range(KEYS)}
    assert entries(owner) == truth == (await w.recovered())[0]


@pytest.mark.parametrize("disk", ["disk", ""])
async def test_kill_9_at_random(bootstrap: str, prefix: str, tmp_path: Path, disk: str) -> None:
    """A real process, killed with -9 again and again: exact counts, from its disk and from the log."""
    async with world(bootstrap, prefix, tmp_path) as w:
        folder = str(tmp_path / disk) if disk else ""
        total, chance = 8_000, random.Random(7)
        argv = [sys.executable, "-m", "tests.streams.kafka.crash_worker", bootstrap, w.tp.topic, folder, str(total)]
        said = ""
        for _ in range(40):
            with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                for _ in range(chance.randint(1, 45)):
                    said = process.stdout.readline() or said
                process.kill()
            if said == "done\n":
                break
        assert said == "done\n"
        truth = {b"%d" % key: b"%d" % len(range(key, total, KEYS)) for key in range(KEYS)}
        assert (await w.recovered()) == (truth, {"numbers": total})
        if disk:
            assert entries(await w.owning(disk=disk)) == truth
