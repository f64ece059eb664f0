"""Record batches: order, acknowledged offsets, and failures that are told."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from streams.kafka.batches import MAX_BATCH_BYTES, Row, new_producer, write_rows
from streams.kafka.reader import new_reader, read_through
from tests.streams.kafka.owners import make_topics


@pytest.fixture
async def producer(bootstrap: str) -> AsyncIterator[AIOKafkaProducer]:
    """A started producer."""
    made = new_producer(bootstrap)
    await made.start()
    yield made
    await made.stop()


async def read(bootstrap: str, topic: str, last: int) -> list[Row]:
    reader = new_reader(bootstrap)
    await reader.start()
    try:
        tp = TopicPartition(topic, 0)
        return [(record.key, record.value) async for _, record in read_through(reader, {tp: (0, last)})]
    finally:
        await reader.stop()


async def test_rows_arrive_in_order(bootstrap: str, prefix: str, producer: AIOKafkaProducer) -> None:
    """Keys and values, present or not, in the order given, across batches and calls."""
    await make_topics(bootstrap, **{f"{prefix}t": 1})
    first: list[Row] = [(b"k", b"v"), (None, b"v"), (b"k", None), (b"", b"")]
    second: list[Row] = [(b"%d" % number, b"x" * 100_000) for number in range(30)]
    assert await write_rows(producer, f"{prefix}t", 0, first) == [(0, 4)]
    acks = await write_rows(producer, f"{prefix}t", 0, second)
    assert len(acks) > 1
    expected = 4
    for base, count in acks:
        assert base == expected
        expected += count
    assert expected == 34
    assert await read(bootstrap, f"{prefix}t", 33) == first + second


async def test_no_rows_are_no_batch(prefix: str, producer: AIOKafkaProducer) -> None:
    """Nothing is sent, not even to a topic that is not there."""
    assert await write_rows(producer, f"{prefix}absent", 0, []) == []


@pytest.mark.broker_kind("apache")
async def test_record_too_large_for_the_broker(bootstrap: str, prefix: str, producer: AIOKafkaProducer) -> None:
    """The broker's refusal is raised, and the record before it may be there: the outcome is unknown."""
    await make_topics(bootstrap, **{f"{prefix}t": 1})
    with pytest.raises(MessageSizeTooLargeError):
        await write_rows(producer, f"{prefix}t", 0, [(None, b"small"), (None, b"x" * 2_000_000)])


@pytest.mark.parametrize("size", [MAX_BATCH_BYTES // 2, MAX_BATCH_BYTES - 200, MAX_BATCH_BYTES])
async def test_record_near_the_limit(bootstrap: str, prefix: str, producer: AIOKafkaProducer, size: int) -> None:
    """What fits a batch, or just not, is written whole by a broker with default limits."""
    await make_topics(bootstrap, **{f"{prefix}t": 1})
    acks = await write_rows(producer, f"{prefix}t", 0, [(None, b"x" * size)] * 3)
    assert sum(count for _, count in acks) == 3


async def test_failed_batch_raises(producer: AIOKafkaProducer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that fails after another one succeeded is not passed over."""
    calls = 0

    async def send(batch: object, topic: str, *, partition: int) -> "asyncio.Future[object]":
        nonlocal calls
        calls += 1
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if calls == 2:
            future.set_exception(KafkaError("lost"))
        else:
            future.set_result(None)
        return future

    monkeypatch.setattr(producer, "send_batch", send)
    with pytest.raises(KafkaError, match="lost"):
        await write_rows(producer, "t", 0, [(None, b"x" * 600_000)] * 3)
