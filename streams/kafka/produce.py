"""Write keyed records fast, each to the partition every standard client would choose.

``send`` takes one record at a time; here a call takes many, sorts them by partition and writes whole record batches
(:mod:`streams.kafka.batches`). The partitioner is Kafka's own (murmur2), so a user's clicks and orders meet.

Easy to get wrong: a record without a key may go anywhere, but it must not all go to one partition; and the order of the
records of one key is the order of the call.
"""

import asyncio
from collections.abc import Iterable
from itertools import count
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from streams.kafka.batches import Row, new_producer, write_rows

__all__ = ["KeyedWriter", "partition_of"]

MEMO_KEYS = 200_000
"""Partitions of keys that are remembered: a million repeated keys would cost more memory than hashing costs time."""


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition that Kafka's default partitioner gives a key.

    >>> partition_of(b"user-1", 6) == partition_of(b"user-1", 6)
    True
    >>> [partition_of(key, 10) for key in (b"a", b"bc", b"campaign")]
    [4, 4, 8]
    """
    hashed: int = murmur2(key) & 0x7FFFFFFF
    return hashed % partitions


class KeyedWriter:
    """A writer to one cluster: ``async with KeyedWriter(bootstrap) as writer: await writer.write(topic, rows)``."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._producer: AIOKafkaProducer | None = None
        self._partitions: dict[str, int] = {}
        self._memo: dict[tuple[bytes, int], int] = {}
        self._turn = count()

    async def __aenter__(self) -> Self:
        self._producer = new_producer(self.bootstrap)
        try:
            await self._producer.start()
        except BaseException:
            await self._producer.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._producer is not None:
            await self._producer.stop()

    async def write(self, topic: str, rows: Iterable[Row]) -> int:
        """Write ``rows`` (key, value) and return how many, once the broker has acknowledged them all.

        Raises:
            aiokafka.errors.KafkaError: if the broker refuses a batch, for instance one that is too large; the other
                partitions' records are written, the outcome of that batch is unknown.
        """
        if self._producer is None:
            raise RuntimeError("the writer is not open; use it in `async with`")
        by_partition: dict[int, list[Row]] = {}
        partitions = await self.partitions(topic)
        keyless = next(self._turn) % partitions
        for row in rows:
            partition = keyless if row[0] is None else self._partition(row[0], partitions)
            by_partition.setdefault(partition, []).append(row)
        writes = (write_rows(self._producer, topic, partition, part) for partition, part in by_partition.items())
        for outcome in await asyncio.gather(*writes, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        return sum(map(len, by_partition.values()))

    async def partitions(self, topic: str) -> int:
        """Return the number of partitions of ``topic``, asked once."""
        if topic not in self._partitions:
            assert self._producer is not None
            self._partitions[topic] = len(await self._producer.partitions_for(topic))
        return self._partitions[topic]

    def _partition(self, key: bytes, partitions: int) -> int:
        known = self._memo.get((key, partitions))
        if known is None:
            known = partition_of(key, partitions)
            if len(self._memo) < MEMO_KEYS:
                self._memo[key, partitions] = known
        return known
