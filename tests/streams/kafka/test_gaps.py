"""A hole in the offsets: nothing, a loss, or records that were not delivered."""

from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from streams.kafka import gaps
from streams.kafka.batches import new_producer, write_rows
from streams.kafka.gaps import Gap, SkippedRecords, examine_gap, nothing_waits
from streams.kafka.reader import delete_before
from tests.streams.kafka.owners import make_topics


@pytest.fixture
async def tp(bootstrap: str, prefix: str) -> TopicPartition:
    """A partition with six records."""
    await make_topics(bootstrap, **{f"{prefix}in": 1})
    producer = new_producer(bootstrap)
    await producer.start()
    await write_rows(producer, f"{prefix}in", 0, [(None, b"%d" % n) for n in range(6)])
    await producer.stop()
    return TopicPartition(f"{prefix}in", 0)


async def test_records_that_were_not_delivered(bootstrap: str, tp: TopicPartition) -> None:
    """What the broker has must be worked on: the worker ends and reads it after its restart."""
    with pytest.raises(SkippedRecords, match=r"in\[0\] 2 was not delivered"):
        await examine_gap(bootstrap, tp, 2, 4)


@pytest.mark.broker_kind("apache")
async def test_records_that_were_deleted(bootstrap: str, tp: TopicPartition) -> None:
    """Retention was faster than we: a loss."""
    assert await delete_before(bootstrap, tp, 4)
    assert await examine_gap(bootstrap, tp, 2, 4) is Gap.LOST


@pytest.mark.broker_kind("apache")
async def test_transaction_markers(bootstrap: str, tp: TopicPartition) -> None:
    """A transaction leaves an offset without a record behind it."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=tp.topic)
    await producer.start()
    for _ in range(2):
        async with producer.transaction():
            await producer.send_and_wait(tp.topic, b"t", partition=0)
    await producer.stop()
    assert await examine_gap(bootstrap, tp, 7, 8) is Gap.ABSENT
    assert await nothing_waits(bootstrap, tp, 9, 10)
    assert not await nothing_waits(bootstrap, tp, 8, 10)


async def test_records_at_the_end_wait(bootstrap: str, tp: TopicPartition) -> None:
    """Only what was looked at up to the end is known to be nothing."""
    assert not await nothing_waits(bootstrap, tp, 5, 6)
    assert not await nothing_waits(bootstrap, tp, 0, 6)
    assert await nothing_waits(bootstrap, tp, 6, 6)


async def test_whoever_does_not_know_says_that_something_waits(
    bootstrap: str, tp: TopicPartition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that is away, or an end that is never reached, ends nothing and promises nothing."""
    monkeypatch.setattr(gaps, "_LOOK_SECONDS", 0.2)
    assert not await nothing_waits(bootstrap, tp, 6, 7)
    assert not await nothing_waits("127.0.0.1:1", tp, 6, 6)


class FakeReader:
    """A log of which only some offsets have records."""

    def __init__(self, begin: int, *offsets: int) -> None:
        self.begin, self.offsets, self.stopped = begin, offsets, False

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        self.stopped = True

    async def log_starts(self, reader: object, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.begin)

    async def read_through(
        self, reader: object, targets: dict[TopicPartition, tuple[int, int]]
    ) -> AsyncIterator[tuple[TopicPartition, object]]:
        for tp, (first, last) in targets.items():
            for offset in self.offsets:
                if first <= offset <= last:
                    yield tp, type("Record", (), {"offset": offset})


@pytest.mark.parametrize(
    ("begin", "offsets", "found"),
    [(0, (4, 9), Gap.ABSENT), (5, (9,), Gap.ABSENT), (6, (9,), Gap.LOST), (0, (5, 9), None), (0, (8, 9), None)],
)
async def test_every_kind(
    monkeypatch: pytest.MonkeyPatch, begin: int, offsets: tuple[int, ...], found: Gap | None
) -> None:
    """Between offset 5, which is wanted, and 9, which came: the begin of the log and its records decide."""
    reader = FakeReader(begin, *offsets)
    monkeypatch.setattr(gaps, "new_reader", lambda _: reader)
    monkeypatch.setattr(gaps, "log_starts", reader.log_starts)
    monkeypatch.setattr(gaps, "read_through", reader.read_through)
    if found is None:
        with pytest.raises(SkippedRecords):
            await examine_gap("", TopicPartition("in", 0), 5, 9)
    else:
        assert await examine_gap("", TopicPartition("in", 0), 5, 9) is found
    assert reader.stopped
