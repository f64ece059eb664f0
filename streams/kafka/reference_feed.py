"""Reads the ``campaigns`` topic: to its end before the first event, then for ever."""

import asyncio

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.kafka.reader import new_reader, true_ends
from streams.reference import Reference
from streams.settings import Settings

__all__ = ["ReferenceFeed"]

log = structlog.get_logger(__name__)


class ReferenceFeed:
    """Keeps a :class:`~streams.reference.Reference` as fresh as its topic."""

    def __init__(self, settings: Settings, reference: Reference) -> None:
        self._settings = settings
        self._reference = reference
        self._reader: AIOKafkaConsumer | None = None
        self._task: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Read all there is now; afterwards follow in the background."""
        bootstrap, topic = self._settings.broker, self._settings.topic("campaigns")
        reader = self._reader = new_reader(bootstrap)
        await reader.start()
        partitions = [TopicPartition(topic, number) for number in reader.partitions_for_topic(topic) or {0}]
        ends = await true_ends(bootstrap, partitions)
        reader.assign(partitions)
        await reader.seek_to_beginning(*partitions)
        for tp, end in ends.items():
            while await reader.position(tp) < end:
                await self._read_some(reader)
        log.info("reference data loaded", campaigns=len(self._reference))
        self._task = asyncio.create_task(self._follow(reader), name="campaigns")
        self._task.add_done_callback(_ended)

    async def _follow(self, reader: AIOKafkaConsumer) -> None:
        while True:
            await self._read_some(reader, timeout_ms=1_000)

    async def _read_some(self, reader: AIOKafkaConsumer, timeout_ms: int = 100) -> None:
        for tp, records in (await reader.getmany(timeout_ms=timeout_ms)).items():
            for record in records:
                if not self._reference.put(record.key, record.value):
                    log.warning("not a campaign", topic=tp.topic, partition=tp.partition, offset=record.offset)

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])  # how it ended was said when it did
        if self._reader is not None:
            await self._reader.stop()


def _ended(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("campaigns are no longer followed: restart this worker", error=repr(error))
