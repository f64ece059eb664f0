"""A lane: one partition of one stage, one slice after the other.

``run`` takes slices from a short queue and makes each step durable in the only
order that is safe: outputs acknowledged, then the state group, then what may
leave behind it.

The rule easy to get wrong: anything unexpected ends the process. The state is
exact whatever kills it; a lane that went on after an error would not be.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition

from streams.clock import monotonic
from streams.kafka.batches import write_rows
from streams.kafka.gaps import Gap, examine_gap, nothing_waits
from streams.kafka.owner import Fenced, PartitionOwner
from streams.kafka.slices import Slice
from streams.metrics import Metrics
from streams.settings import Settings
from streams.stage import Partition, Send, Stage, Step

__all__ = ["Lane"]

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.1
WAITING_SLICES = 2


class Lane:
    """Runs the steps of one partition of one stage.

    Args:
        stage: whose partition it is.
        owner: its state, with ``logic`` in it.
        logic: what the stage does with the partition.
        highwater: returns the log end that the last fetch of a topic saw.
    """

    def __init__(
        self,
        stage: Stage,
        owner: PartitionOwner,
        logic: Partition,
        *,
        settings: Settings,
        producer: AIOKafkaProducer,
        metrics: Metrics,
        highwater: Callable[[str], int | None],
    ) -> None:
        self.stage = stage
        self.owner = owner
        self.logic = logic
        self.number = owner.tp.partition
        self.expected: dict[str, int] = {}
        """Next offset per source topic (contract names)."""
        self._end_seen: dict[str, int] = {}
        """Up to where sources are known to hold nothing behind what was read."""
        self._looked_at = monotonic()
        self.generation = -1
        self.moved_at = monotonic()
        self.fenced_at: float | None = None
        self._settings = settings
        self._producer = producer
        self._metrics = metrics
        self._highwater = highwater
        self._queue: asyncio.Queue[tuple[Slice, Callable[[], None]]] = asyncio.Queue(WAITING_SLICES)
        self._busy = asyncio.Lock()
        self._closed = False
        self._open = False

    async def put(self, piece: Slice, acknowledge: Callable[[], None]) -> None:
        """Queue a slice; waits while the lane is behind. ``acknowledge`` is always called."""
        await self._queue.put((piece, acknowledge))
        if self._closed:
            self._empty()

    async def close(self) -> None:
        """Finish the step in hand and work no more; what waits is acknowledged unread."""
        self._closed = True
        await self.release()
        self._empty()

    def _empty(self) -> None:
        while not self._queue.empty():
            _, acknowledge = self._queue.get_nowait()
            acknowledge()

    def start(self, generation: int, starts: dict[str, int]) -> None:
        """Begin under a new generation, with the offsets at which unread sources begin."""
        self.generation = generation
        self.expected = {**starts, **self.owner.offsets}
        self._end_seen.clear()
        self.moved_at = monotonic()
        self.fenced_at = None if self.owner.owned else self.moved_at
        if self.owner.owned:
            self.logic.opened(self.owner.progress.epoch, self.expected, monotonic())
        self._open = True

    async def release(self) -> None:
        """Finish the step in hand, then write no more."""
        self._open = False
        async with self._busy:
            self.owner.release()

    async def run(self) -> None:
        """Work until cancelled; every exception but a cancellation is fatal for the process."""
        while True:
            piece, acknowledge = None, None
            try:
                async with asyncio.timeout(TICK_SECONDS):
                    piece, acknowledge = await self._queue.get()
            except TimeoutError:
                pass
            try:
                async with self._busy:
                    await self._work(piece)
            finally:
                if acknowledge:
                    acknowledge()

    async def _work(self, piece: Slice | None) -> None:
        try:
            if piece is not None and piece.generation == self.generation and self._ours():
                await self._take(piece)
            while self._ours() and (step := self.logic.tick(monotonic(), self._caught_up)):
                await self._perform(step)
            await self._look_behind_the_last_record()
            if not any(map(self.lag, self.stage.sources)):
                self.moved_at = monotonic()
        except Fenced as fenced:
            self.fenced_at = monotonic()
            log.warning("another worker owns this partition now", stage=self.stage.name, where=str(fenced))

    def _ours(self) -> bool:
        """Tell whether we may work: the fence held *and* the stage was told of its new epoch.

        Between the two, a step would still carry the old epoch: published rows would be ignored
        as a zombie's, and yet be dropped as published.
        """
        return self._open and self.owner.owned

    def lag(self, topic: str) -> int:
        """Return how many offsets of a source are known to wait."""
        return max(0, (self._highwater(topic) or 0) - self._read_to(topic))

    def _caught_up(self, topic: str) -> bool:
        end = self._highwater(topic)
        return end is not None and self._read_to(topic) >= end

    def _read_to(self, topic: str) -> int:
        return max(self.expected.get(topic, 0), self._end_seen.get(topic, 0))

    async def _look_behind_the_last_record(self) -> None:
        """When nothing comes though something seems to wait, look whether it is only transaction markers."""
        quiet_since = max(self.moved_at, self._looked_at)
        if not self._ours() or monotonic() - quiet_since < self._settings.idle_after_ms / 1_000:
            return
        self._looked_at = monotonic()
        for topic in self.stage.sources:
            end, expected = self._highwater(topic), self.expected.get(topic, 0)
            tp = TopicPartition(self._settings.topic(topic), self.number)
            if end and self.lag(topic) and await nothing_waits(self._settings.broker, tp, expected, end):
                self._end_seen[topic] = end

    # -- one slice -----------------------------------------------------------

    async def _take(self, piece: Slice) -> None:
        topic = piece.topic.removeprefix(self._settings.topic_prefix)
        start = self.expected[topic]
        records = _from(start, piece.records)
        if not records:
            return
        if records[0].offset > start:
            tp = TopicPartition(piece.topic, piece.partition)
            if await examine_gap(self._settings.broker, tp, start, records[0].offset) is Gap.LOST:
                start = records[0].offset
        began = monotonic()
        step = self.logic.take(topic, records, start, began)
        self._metrics.observe_slice(topic, len(records))
        self._metrics.observe_stage(self.stage.name, monotonic() - began)
        await self._perform(step)
        self.moved_at = monotonic()

    async def _perform(self, step: Step) -> None:
        await self._send(step.before, "output")
        if step.changes or step.offsets:
            began = monotonic()
            await self.owner.commit(step.changes, {**self.owner.offsets, **(step.offsets or {})})
            self._metrics.observe_stage(f"{self.stage.name}_commit", monotonic() - began)
            self._metrics.count_state_group(self.stage.name)
            self.expected.update(self.owner.offsets)
        await self._send(step.after, "publish")
        if step.done:
            step.done()
        await self.owner.snapshot_if_due()

    async def _send(self, sends: Sequence[Send], stage: str) -> None:
        if not sends:
            return
        began = monotonic()
        topic = self._settings.topic
        await asyncio.gather(
            *(write_rows(self._producer, topic(send.topic), send.partition, send.rows) for send in sends)
        )
        self._metrics.observe_stage(f"{self.stage.name}_{stage}", monotonic() - began)


def _from(start: int, records: Sequence[ConsumerRecord]) -> Sequence[ConsumerRecord]:
    """Return the records from offset ``start`` on; what lies before is in the state already."""
    if records[0].offset >= start:
        return records
    return [record for record in records if record.offset >= start]
