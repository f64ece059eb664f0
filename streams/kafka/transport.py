"""Faust's Kafka transport, with micro-batches and exact positions.

Faust spends 160-200 us per message in its fetch loop, conductor and queues. So
each partition's poll becomes one Faust message per slice; everything else of
Faust (groups, rebalances, agents, shutdown) stays.

For source topics three things differ from stock Faust:

* where to read comes from the state log: ``perform_seek`` first lets the
  owners take possession, then seeks to *their* offsets;
* what is committed to the group is the owners' durable offset, for lag tools;
* records fetched before a seek are never worked on after it (``generation``).

The rule easy to get wrong: ``perform_seek`` is also called by ``getmany``
while the flow is stopped, on a worker that may just have lost the partition. A
fence written then would void the real owner's groups; so possession is taken
only after ``resume_partitions`` asked for it.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, cast

import aiokafka
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from streams.kafka.assignor import new_assignor
from streams.kafka.slices import Slice, cut

__all__ = ["TP", "SliceTransport", "Sources", "new_transport"]


class Sources(ABC):
    """What the transport must know of the stages above it; filled in by the runtime.

    Attributes:
        topics: full names of the topics that are read in slices.
        slice_records: the most records in one slice.
        fetch_wait_ms: how long a fetch may wait for the first byte.
    """

    def __init__(self, topics: Iterable[str], *, slice_records: int, fetch_wait_ms: int) -> None:
        self.topics = frozenset(topics)
        self.slice_records = slice_records
        self.fetch_wait_ms = fetch_wait_ms

    def highwater(self, tp: TP) -> int | None:
        """Return the log end that the last fetch of ``tp`` saw; set by the transport."""
        return None

    @abstractmethod
    async def acquire(self, partitions: set[TP], generation: int) -> Mapping[TP, int]:
        """Take possession of ``partitions``; return where each one must be read from."""

    @abstractmethod
    async def release(self) -> None:
        """Finish the slices in hand and stop writing."""

    @abstractmethod
    def durable_offset(self, tp: TP) -> int | None:
        """Return the next offset after what is in the state for good."""


class _Thread(AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        sources: Sources = transport.sources
        consumer._fetch_max_wait_ms = sources.fetch_wait_ms  # Faust has 1500 hard-coded
        consumer._partition_assignment_strategy = (new_assignor(),)
        return consumer

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Leave liveness to /healthz: Faust's detector looks at single messages."""


class _Consumer(Consumer):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sources: Sources = cast(Any, self.transport).sources
        self.sources.highwater = self._known_end
        self.generation = 0
        self._wanted = False
        self._positioned = False
        self._seek_lock = asyncio.Lock()

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    def _known_end(self, tp: TP) -> int | None:
        try:
            return self.highwater(tp)
        except Exception:  # not assigned at this moment
            return None

    def _is_source(self, tp: TP) -> bool:
        return tp.topic in self.sources.topics

    # -- fetching ------------------------------------------------------------

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        async with self._seek_lock:
            fetched = await super()._getmany(active_partitions, timeout)
            generation, positioned = self.generation, self._positioned
        size = self.sources.slice_records
        result = {}
        for tp, records in fetched.items():
            if not self._is_source(tp):
                result[tp] = records
            elif positioned and records:
                result[tp] = list(cut(tp.topic, tp.partition, generation, records, size))
        return result

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if not isinstance(record, Slice):
            return super()._to_message(tp, record)
        last = record.records[-1]
        return ConsumerMessage(
            record.topic,
            record.partition,
            last.offset,
            last.timestamp / 1000.0,
            last.timestamp_type,
            None,
            None,
            record,  # type: ignore[arg-type]  # the message's value is the slice
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    # -- positions -----------------------------------------------------------

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        tps = set(tps)
        if any(map(self._is_source, tps)):
            self._wanted = True
            self._positioned = False
        super().resume_partitions(tps)

    async def perform_seek(self) -> None:
        if not self._wanted:
            return
        self._wanted = False
        async with self._seek_lock:
            try:
                await self._position()
            except Exception:
                self._wanted = True  # Faust swallows the error and calls again
                raise

    async def _position(self) -> None:
        await super().perform_seek()
        self.generation += 1
        generation = self.generation
        owned = {tp for tp in self.assignment() if self._is_source(tp)}
        positions = await self.sources.acquire(owned, generation)
        if positions:
            await self.seek_wait(positions)
        if self.generation != generation:  # revoked meanwhile
            await self.sources.release()
            return
        for tp, offset in positions.items():
            self._committed_offset[tp] = offset or None
        self._positioned = True

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        await super().on_partitions_assigned(assigned, generation_id)
        if not any(map(self._is_source, assigned)):  # Faust neither resumes nor seeks then
            await self.sources.acquire(set(), self.generation)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self._wanted = False
        self._positioned = False
        self.generation += 1
        await super().on_partitions_revoked(revoked)
        await self.sources.release()

    # -- acknowledging -------------------------------------------------------

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        if not self._is_source(tp):
            await super()._add_gap(tp, offset_from, offset_to - 1)

    def _new_offset(self, tp: TP) -> int | None:
        if not self._is_source(tp):
            return super()._new_offset(tp)
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return self.sources.durable_offset(tp)


class SliceTransport(Transport):
    """Transport whose consumer delivers slices; ``sources`` must be set before it is used."""

    Consumer: ClassVar[Any] = _Consumer
    sources: Sources


def new_transport(sources: Sources) -> Callable[[Any, Any], SliceTransport]:
    """Return a factory ``(url, app) -> transport`` bound to ``sources``."""

    def build(url: Any, app: Any) -> SliceTransport:
        transport = SliceTransport(url, app)
        transport.sources = sources
        return transport

    return build
