"""Reading without a group: true ends, whole ranges, and never waiting for ever."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.kafka.batches import new_producer, write_rows
from streams.kafka.reader import delete_before, log_starts, new_reader, read_through, true_ends
from tests.streams.kafka.owners import make_topics


@pytest.fixture
async def producer(bootstrap: str) -> AsyncIterator[AIOKafkaProducer]:
    """A started producer."""
    made = new_producer(bootstrap)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def reader(bootstrap: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A started reader."""
    made = new_reader(bootstrap)
    await made.start()
    yield made
    await made.stop()


async def test_true_end_is_behind_the_last_record(bootstrap: str, prefix: str, producer: AIOKafkaProducer) -> None:
    """However many records the last batch holds, which some brokers report wrongly; empty partitions end at 0."""
    topic = f"{prefix}t"
    await make_topics(bootstrap, **{topic: 3})
    written = 0
    for size in (1, 5, 1, 10, 500):
        await write_rows(producer, topic, 1, [(None, b"x")] * size)
        written += size
        ends = await true_ends(bootstrap, [TopicPartition(topic, number) for number in range(3)])
        assert {tp.partition: end for tp, end in ends.items()} == {0: 0, 1: written, 2: 0}


async def test_ranges_of_several_partitions(
    bootstrap: str, prefix: str, producer: AIOKafkaProducer, reader: AIOKafkaConsumer
) -> None:
    """Each partition's records come from the first through the last offset asked for, in order, each once."""
    topic = f"{prefix}t"
    await make_topics(bootstrap, **{topic: 3})
    for number in range(3):
        for start in range(0, 4_000, 800):
            rows = [(None, b"%d" % (start + index)) for index in range(800)]
            await write_rows(producer, topic, number, rows)
    asked = {0: (0, 3_999), 1: (799, 800), 2: (10, 2_500)}
    found: dict[int, list[int]] = {number: [] for number in asked}
    targets = {TopicPartition(topic, number): target for number, target in asked.items()}
    async for tp, record in read_through(reader, targets):
        assert record.value == b"%d" % record.offset
        found[tp.partition].append(record.offset)
    assert found == {number: list(range(first, last + 1)) for number, (first, last) in asked.items()}


async def test_same_reader_reads_again(
    bootstrap: str, prefix: str, producer: AIOKafkaProducer, reader: AIOKafkaConsumer
) -> None:
    """A reader can go back, and read what was written since."""
    topic = f"{prefix}t"
    await make_topics(bootstrap, **{topic: 1})
    tp = TopicPartition(topic, 0)
    for number in range(5):
        await write_rows(producer, topic, 0, [(None, b"%d" % number)] * 3)
        seen = [record.offset async for _, record in read_through(reader, {tp: (0, 3 * number + 2)})]
        assert seen == list(range(3 * number + 3))


async def test_empty_ranges_are_not_waited_for(reader: AIOKafkaConsumer) -> None:
    """A range that ends before it begins yields nothing; so does no range."""
    assert [item async for item in read_through(reader, {})] == []
    assert [item async for item in read_through(reader, {TopicPartition("absent", 0): (5, 4)})] == []


async def test_record_that_never_comes(
    bootstrap: str, prefix: str, producer: AIOKafkaProducer, reader: AIOKafkaConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An offset that the log does not reach ends in an error that names the partition."""
    topic = f"{prefix}t"
    await make_topics(bootstrap, **{topic: 1})
    await write_rows(producer, topic, 0, [(None, b"x")] * 3)
    monkeypatch.setattr("streams.kafka.reader._SILENCE_SECONDS", 0.5)
    async with asyncio.timeout(20):
        with pytest.raises(TimeoutError, match=topic):
            async for _ in read_through(reader, {TopicPartition(topic, 0): (0, 3)}):
                pass


async def test_large_records(bootstrap: str, prefix: str, producer: AIOKafkaProducer, reader: AIOKafkaConsumer) -> None:
    """Several fetches' worth of large records arrive whole."""
    topic = f"{prefix}t"
    await make_topics(bootstrap, **{topic: 1})
    await write_rows(producer, topic, 0, [(None, b"%02d" % number * 200_000) for number in range(30)])
    sizes = [len(record.value) async for _, record in read_through(reader, {TopicPartition(topic, 0): (0, 29)})]
    assert sizes == [400_000] * 30


@pytest.mark.broker_kind("apache")
async def test_deleted_beginning(
    bootstrap: str, prefix: str, producer: AIOKafkaProducer, reader: AIOKafkaConsumer
) -> None:
    """After a truncation the log starts where it was cut, inside a batch too, and its end stays."""
    topic = f"{prefix}t"
    await make_topics(bootstrap, **{topic: 1})
    tp = TopicPartition(topic, 0)
    await write_rows(producer, topic, 0, [(None, b"x")] * 10)
    assert await delete_before(bootstrap, tp, 4)
    assert await log_starts(reader, [tp]) == {tp: 4}
    assert await true_ends(bootstrap, [tp]) == {tp: 10}
    assert [record.offset async for _, record in read_through(reader, {tp: (1, 9)})] == list(range(4, 10))
    assert await delete_before(bootstrap, tp, 10)
    assert await true_ends(bootstrap, [tp]) == {tp: 10}
