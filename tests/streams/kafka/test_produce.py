"""Writing many keyed records: right partition, right order, all acknowledged."""

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.batches import Row
from streams.kafka.produce import KeyedWriter, partition_of
from streams.kafka.reader import log_starts, new_reader, read_through, true_ends

PARTITIONS = 4


async def make_topic(bootstrap: str, name: str) -> str:
    """Create ``name`` with four partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
    finally:
        await admin.close()
    return name


async def read_all(bootstrap: str, topic: str) -> dict[int, list[Row]]:
    """Return key and value of every record, by partition."""
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    ends = await true_ends(bootstrap, partitions)
    found: dict[int, list[Row]] = {number: [] for number in range(PARTITIONS)}
    reader = new_reader(bootstrap)
    await reader.start()
    try:
        starts = await log_starts(reader, partitions)
        spans = {tp: (starts[tp], ends[tp] - 1) for tp in partitions if ends[tp] > starts[tp]}
        async for tp, record in read_through(reader, spans):
            found[tp.partition].append((record.key, record.value))
    finally:
        await reader.stop()
    return found


@given(key=st.binary(max_size=64), partitions=st.integers(1, 200))
def test_partition_is_the_standard_one(key: bytes, partitions: int) -> None:
    """For any key the partition is the one that aiokafka's (Java's) default partitioner chooses."""
    everywhere = list(range(partitions))
    assert partition_of(key, partitions) == DefaultPartitioner()(key, everywhere, everywhere)


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    ],
)
def test_partition_is_that_of_java_clients(key: bytes, hashed: int) -> None:
    """Known answers of Kafka's own unit test of murmur2, sign bit dropped."""
    assert partition_of(key, 1 << 31) == hashed & 0x7FFFFFFF


async def test_rows_lie_in_their_partition_in_order(bootstrap: str, prefix: str) -> None:
    """Every record is there once, in its key's partition, in the order of the calls."""
    topic = await make_topic(bootstrap, prefix + "ordered")
    rows: list[Row] = [(b"user-%d" % (n % 50), b"%d" % n) for n in range(2_000)]
    async with KeyedWriter(bootstrap) as writer:
        assert await writer.write(topic, rows[:1_500]) == 1_500
        assert await writer.write(topic, iter(rows[1_500:])) == 500
    expected: dict[int, list[Row]] = {number: [] for number in range(PARTITIONS)}
    for key, value in rows:
        expected[partition_of(key or b"", PARTITIONS)].append((key, value))
    assert await read_all(bootstrap, topic) == expected


async def test_more_than_one_batch_per_partition(bootstrap: str, prefix: str) -> None:
    """Rows that do not fit into one record batch are all written, still in order."""
    topic = await make_topic(bootstrap, prefix + "large")
    rows: list[Row] = [(b"one-user", b"%03d" % n + b"x" * 100_000) for n in range(30)]
    async with KeyedWriter(bootstrap) as writer:
        await writer.write(topic, rows)
    found = await read_all(bootstrap, topic)
    assert [value[:3] for _, value in found[partition_of(b"one-user", PARTITIONS)] if value] == [
        b"%03d" % n for n in range(30)
    ]


async def test_records_without_a_key_spread(bootstrap: str, prefix: str) -> None:
    """Keyless records do not all land in one partition, and none is lost."""
    topic = await make_topic(bootstrap, prefix + "keyless")
    async with KeyedWriter(bootstrap) as writer:
        for _ in range(PARTITIONS):
            await writer.write(topic, [(None, b"x")] * 3)
    assert {number: len(rows) for number, rows in (await read_all(bootstrap, topic)).items()} == dict.fromkeys(
        range(PARTITIONS), 3
    )


async def test_a_key_without_value_is_a_tombstone(bootstrap: str, prefix: str) -> None:
    """A value of None is written as such: compacted topics need it."""
    topic = await make_topic(bootstrap, prefix + "tombstone")
    async with KeyedWriter(bootstrap) as writer:
        await writer.write(topic, [(b"k", None)])
    assert (await read_all(bootstrap, topic))[partition_of(b"k", PARTITIONS)] == [(b"k", None)]


@pytest.mark.broker_kind("apache")
async def test_a_refused_record_is_an_error(bootstrap: str, prefix: str) -> None:
    """What the broker refuses is raised, after the other partitions' records have been written."""
    topic = await make_topic(bootstrap, prefix + "huge")
    others: list[Row] = [(b"user-%d" % n, b"x") for n in range(50)]
    lost = partition_of(b"k", PARTITIONS)
    async with KeyedWriter(bootstrap) as writer:
        with pytest.raises(MessageSizeTooLargeError):
            await writer.write(topic, [(b"k", b"x" * 2_000_000), *others])
    found = await read_all(bootstrap, topic)
    kept = [row for row in others if partition_of(row[0] or b"", PARTITIONS) != lost]
    assert [row for number, rows in found.items() if number != lost for row in rows] == sorted(
        kept, key=lambda row: partition_of(row[0] or b"", PARTITIONS)
    )


async def test_nothing_to_write(bootstrap: str, prefix: str) -> None:
    """An empty call writes nothing and says so."""
    topic = await make_topic(bootstrap, prefix + "empty")
    async with KeyedWriter(bootstrap) as writer:
        assert await writer.write(topic, []) == 0


async def test_a_closed_writer_says_so(bootstrap: str) -> None:
    """Writing outside ``async with`` is a clear error."""
    with pytest.raises(RuntimeError, match="not open"):
        await KeyedWriter(bootstrap).write("t", [])
