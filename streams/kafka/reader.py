"""Read topics without a consumer group, to their true end.

Group offsets are never trusted. Neither is the log end that a broker reports
through ListOffsets (the embedded broker reports it too low): the end is taken
from a fetch response.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError

from streams.clock import monotonic

__all__ = ["delete_before", "log_starts", "new_reader", "read_through", "true_ends"]

log = structlog.get_logger(__name__)

_POLL_MS = 100
_READY_SECONDS = 15.0
_SILENCE_SECONDS = 30.0
"""Longest wait for a record that is known to exist. Below Faust's limit for positioning a
consumer: beyond that the worker would stay alive and idle, without an error."""


def new_reader(bootstrap: str) -> AIOKafkaConsumer:
    """Return an unstarted consumer without a group that reads from where it is told to."""
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=_POLL_MS,
        max_partition_fetch_bytes=4 * 2**20,
        metadata_max_age_ms=30_000,
    )


async def log_starts(reader: AIOKafkaConsumer, partitions: list[TopicPartition]) -> Mapping[TopicPartition, int]:
    """Return the first available offset of each partition."""
    starts: Mapping[TopicPartition, int] = await reader.beginning_offsets(partitions)
    return starts


async def true_ends(bootstrap: str, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
    """Return the real next offset of each partition, from fetch responses.

    Raises ``TimeoutError`` when a partition does not answer: never a guess.
    """
    reader = new_reader(bootstrap)
    await reader.start()
    try:
        ends: dict[TopicPartition, int] = dict(await reader.end_offsets(partitions))
        reader.assign(partitions)
        for tp, end in ends.items():
            reader.seek(tp, max(end - 1, 0))
        async with asyncio.timeout(_READY_SECONDS):
            while any(reader.highwater(tp) is None for tp in partitions):
                await reader.getmany(timeout_ms=_POLL_MS)
        return {tp: max(ends[tp], reader.highwater(tp) or 0) for tp in partitions}
    finally:
        await reader.stop()


async def read_through(
    reader: AIOKafkaConsumer, targets: Mapping[TopicPartition, tuple[int, int]]
) -> AsyncIterator[tuple[TopicPartition, ConsumerRecord]]:
    """Yield each partition's records from its first through its last offset.

    Args:
        reader: a started reader; its assignment is replaced.
        targets: per partition the first and the last offset; the last one is
            known to exist (the caller wrote it), so no log end is needed.

    A first offset that the log no longer has is read as the oldest one it has.
    Raises ``TimeoutError`` when nothing comes for long: never waits for ever.
    """
    left = {tp: target for tp, target in targets.items() if target[0] <= target[1]}
    reader.assign(list(left))
    for tp, (first, _) in left.items():
        reader.seek(tp, first)
    heard = monotonic()
    while left:
        batches = await reader.getmany(*left, timeout_ms=_POLL_MS)
        if batches:
            heard = monotonic()
        elif monotonic() - heard > _SILENCE_SECONDS:
            raise TimeoutError(f"no records for {_SILENCE_SECONDS:.0f} s from {sorted(left)}")
        for tp, records in batches.items():
            if tp not in left:
                continue
            last = left[tp][1]
            for record in records:
                if record.offset <= last:
                    yield tp, record
            if records and records[-1].offset >= last:
                del left[tp]


async def delete_before(bootstrap: str, tp: TopicPartition, offset: int) -> bool:
    """Delete the log before ``offset``; False when the broker did not: the log stays longer."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        await admin.delete_records({tp: RecordsToDelete(offset)})
    except (KafkaError, KeyError, IndexError) as error:
        log.warning("log not truncated", topic=tp.topic, partition=tp.partition, error=repr(error))
        return False
    finally:
        await admin.close()
    return True
