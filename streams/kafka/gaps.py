"""A hole in the offsets of a source: is it nothing, or a loss?

A log may have offsets without a record (transaction markers). It may also have
lost records to retention before they were read; that is a loss, and stays
visible in the ledger. And a client could have skipped records; then we stop.

The rule easy to get wrong: a log whose last offsets are markers looks as if
something still waited there, for ever. Its source is at its end all the same.
"""

import asyncio
from enum import Enum

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.kafka.reader import log_starts, new_reader, read_through

__all__ = ["Gap", "SkippedRecords", "examine_gap", "nothing_waits"]

log = structlog.get_logger(__name__)


_POLL_MS = 100
_LOOK_SECONDS = 5.0
"""Longest look behind the last record; who does not know by then says that something waits."""


class Gap(Enum):
    """What a hole is."""

    ABSENT = "absent"
    LOST = "lost"


class SkippedRecords(Exception):
    """The broker has records that were not delivered; a restart reads them."""


async def examine_gap(bootstrap: str, tp: TopicPartition, expected: int, first: int) -> Gap:
    """Return why the record after ``expected - 1`` is the one at ``first``, asking the broker.

    Raises :class:`SkippedRecords` when the broker has records in between.
    """
    reader = new_reader(bootstrap)
    await reader.start()
    try:
        begin = (await log_starts(reader, [tp]))[tp]
        if begin > expected:
            log.error(
                "records were deleted before they were read: lengthen the topic's retention",
                topic=tp.topic,
                partition=tp.partition,
                offsets=begin - expected,
            )
            return Gap.LOST
        async for _, record in read_through(reader, {tp: (expected, first)}):
            if record.offset < first:
                raise SkippedRecords(f"{tp.topic}[{tp.partition}] {record.offset} was not delivered")
        return Gap.ABSENT
    finally:
        await reader.stop()


async def nothing_waits(bootstrap: str, tp: TopicPartition, expected: int, end: int) -> bool:
    """Tell whether a log has no record from ``expected`` up to ``end``, only markers."""
    reader = new_reader(bootstrap)
    try:
        await reader.start()
        reader.assign([tp])
        reader.seek(tp, expected)
        async with asyncio.timeout(_LOOK_SECONDS):
            while not await reader.getmany(tp, timeout_ms=_POLL_MS):
                if await reader.position(tp) >= end:
                    return True
        return False
    except (TimeoutError, KafkaError):
        return False
    finally:
        await reader.stop()
