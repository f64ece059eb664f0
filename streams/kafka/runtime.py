"""Everything between Faust and the stages: who owns what, and where to read from.

Faust brings assignments and slices; the stages bring plain code. The runtime
opens a lane for each partition of each stage, takes possession before the
first record is read, and says where the sources must be read from: where the
state logs say, never where the consumer group says.

The rule easy to get wrong: whoever owns partition p of one source must own p
of all sources of the stage, or two workers would change one state.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition

from streams.clock import monotonic
from streams.kafka.batches import new_producer
from streams.kafka.lane import Lane
from streams.kafka.owner import PartitionOwner, StateLogError, acquire
from streams.kafka.reader import log_starts, new_reader, true_ends
from streams.kafka.slices import Slice
from streams.kafka.store import DiskStore, MemoryStore, Store
from streams.kafka.transport import TP, Sources
from streams.metrics import Metrics
from streams.settings import Settings
from streams.stage import Stage

__all__ = ["EXIT_FAILED", "Runtime", "SplitOwnership", "StateAhead"]

log = structlog.get_logger(__name__)

EXIT_FAILED = 70
"""Exit status of a worker that met something unexpected; a restart recovers."""

EXIT_MEND = 2
"""Exit status of a worker that somebody must help first; the log line says how."""

STUCK_SECONDS = 60.0


class SplitOwnership(Exception):
    """The sources of one partition number were given to different workers."""


class StateAhead(Exception):
    """The state has read further than the source goes: the topic was made anew."""


class Runtime(Sources):
    """The stages of one worker at work.

    Args:
        settings: of the worker.
        stages: in flow order.
        metrics: where numbers go.
        folder: where local copies of state are kept, ``None`` for memory only.
        prepare: awaited once before the first partition is opened.
        name: of the worker, for whoever debugs a state log.
    """

    def __init__(
        self,
        settings: Settings,
        stages: Sequence[Stage],
        *,
        metrics: Metrics,
        folder: Path | None,
        prepare: Callable[[], Awaitable[None]],
        name: str,
    ) -> None:
        topics = {settings.topic(topic): stage for stage in stages for topic in stage.sources}
        super().__init__(topics, slice_records=settings.slice_records, fetch_wait_ms=settings.fetch_wait_ms)
        self.lanes: dict[tuple[str, int], Lane] = {}
        self.stages = stages
        self._stage_of = topics
        self._settings = settings
        self._metrics = metrics
        self._folder = folder
        self._prepare = prepare
        self._name = name
        self._producer: AIOKafkaProducer | None = None
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._acquired = False

    # -- slices --------------------------------------------------------------

    async def handle(self, piece: Slice, acknowledge: Callable[[], None]) -> None:
        """Hand a slice to its lane; ``acknowledge`` is called once it is dealt with."""
        lane = self.lanes.get((self._stage_of[piece.topic].name, piece.partition))
        if lane is None:
            acknowledge()
        else:
            await lane.put(piece, acknowledge)

    def durable_offset(self, tp: TP) -> int | None:
        """Return the next offset after what is in the state for good."""
        lane = self.lanes.get((self._stage_of[tp.topic].name, tp.partition))
        return lane.owner.offsets.get(self._short(tp.topic)) if lane else None

    # -- possession ----------------------------------------------------------

    async def acquire(self, partitions: set[TP], generation: int) -> Mapping[TP, int]:
        """Open what is new, close what is gone, fence all; return where to read from.

        A worker that is given nothing is called too: it closes what it had.
        """
        try:
            return await self._acquire(partitions, generation)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self.fail(error)

    async def _acquire(self, partitions: set[TP], generation: int) -> Mapping[TP, int]:
        wanted = self._wanted(partitions)
        await self.release()  # a step that ended after the lane's new start would undo it
        await self._close(set(self.lanes) - wanted)
        if self._producer is None:
            self._producer = new_producer(self._settings.broker)
            await self._producer.start()
            await self._prepare()
        for key in sorted(wanted - set(self.lanes)):
            self.lanes[key] = self._open(*key)
        lanes = list(self.lanes.values())
        if lanes:
            await acquire([lane.owner for lane in lanes], bootstrap=self._settings.broker)
        starts = await self._starts(partitions) if partitions else {}
        for lane in lanes:
            topics = lane.stage.sources
            lane.start(generation, {t: starts[self._settings.topic(t), lane.number] for t in topics})
        self._start_tasks()
        self._acquired = True
        log.info("partitions acquired", partitions=sorted({lane.number for lane in lanes}))
        return {
            tp: self.lanes[self._stage_of[tp.topic].name, tp.partition].expected[self._short(tp.topic)]
            for tp in partitions
        }

    def _wanted(self, partitions: set[TP]) -> set[tuple[str, int]]:
        wanted = set()
        for stage in self.stages:
            numbers = [
                {tp.partition for tp in partitions if tp.topic == self._settings.topic(topic)}
                for topic in stage.sources
            ]
            if any(owned != numbers[0] for owned in numbers):
                raise SplitOwnership(
                    f"{', '.join(stage.sources)} were assigned with different partition numbers: "
                    "they need equal partition counts, and all workers the same version"
                )
            wanted |= {(stage.name, number) for number in numbers[0]}
        return wanted

    async def _starts(self, partitions: Iterable[TP]) -> dict[tuple[str, int], int]:
        """Return where each source begins; raises :class:`StateAhead` when one ends before its state."""
        reader = new_reader(self._settings.broker)
        await reader.start()
        try:
            starts = await log_starts(reader, [TopicPartition(*tp) for tp in partitions])
        finally:
            await reader.stop()
        read = {TopicPartition(*tp): offset for tp in partitions if (offset := self.durable_offset(tp))}
        for tp, end in (await true_ends(self._settings.broker, list(read)) if read else {}).items():
            if end < read[tp]:
                raise StateAhead(
                    f"{tp.topic}[{tp.partition}] ends at {end} but the state has read up to {read[tp]}: the topic "
                    f"was made anew; delete the topics {self._settings.topic('state.')}* and "
                    f"{self._settings.topic('panes')} too, or use another prefix"
                )
        return {(tp.topic, tp.partition): start for tp, start in starts.items()}

    def _open(self, stage_name: str, number: int) -> Lane:
        stage = next(stage for stage in self.stages if stage.name == stage_name)
        logic = stage.open(number)
        assert self._producer is not None
        owner = PartitionOwner(
            tp=TopicPartition(self._settings.topic(stage.state_topic), number),
            state=logic,
            store=self._store(stage_name, number),
            producer=self._producer,
            bootstrap=self._settings.broker,
            name=self._name,
            snapshot_bytes=self._settings.snapshot_bytes,
        )
        return Lane(
            stage,
            owner,
            logic,
            settings=self._settings,
            producer=self._producer,
            metrics=self._metrics,
            highwater=lambda topic: self.highwater(TP(self._settings.topic(topic), number)),
        )

    def _store(self, stage_name: str, number: int) -> Store:
        if self._folder is None:
            return MemoryStore()
        prefix = self._settings.topic_prefix
        return DiskStore(self._folder / f"{prefix}{self._settings.application}-{stage_name}-{number}")

    async def release(self) -> None:
        """Finish the steps in hand and stop writing; memory is kept."""
        await asyncio.gather(*(lane.release() for lane in self.lanes.values()))

    async def stop(self) -> None:
        """Close everything."""
        await self._close(set(self.lanes))
        if self._producer is not None:
            await self._producer.stop()

    async def _close(self, keys: set[tuple[str, int]]) -> None:
        for key in keys:
            lane = self.lanes.pop(key)
            await lane.close()
            task = self._tasks.pop(key, None)
            if task is not None:
                task.cancel()
            lane.logic.closed()
            lane.owner.forget()

    def _short(self, topic: str) -> str:
        return topic.removeprefix(self._settings.topic_prefix)

    # -- life and death ------------------------------------------------------

    def _start_tasks(self) -> None:
        for key, lane in self.lanes.items():
            if key not in self._tasks:
                task = self._tasks[key] = asyncio.create_task(lane.run(), name=f"{key[0]}-{key[1]}")
                task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled():
            self.fail(task.exception() or RuntimeError("a lane ended"))

    def fail(self, error: BaseException) -> NoReturn:
        """End the process at once; the state is exact whatever ends it."""
        if isinstance(error, StateAhead | StateLogError):  # a restart meets the same: somebody has to mend it
            log.error("worker stops", error=str(error))
            os._exit(EXIT_MEND)
        log.error("worker stops", error=f"{type(error).__name__}: {error}", exc_info=error)
        os._exit(EXIT_FAILED)

    def health(self) -> str | None:
        """Return what is wrong, one line; ``None`` while things move or there is nothing to do."""
        if not self._acquired:
            return "no partitions assigned yet"
        now = monotonic()
        for (stage, number), lane in list(self.lanes.items()):
            if lane.fenced_at is not None and now - lane.fenced_at > STUCK_SECONDS:
                return f"{stage}[{number}] was taken over by another worker"
            behind = sum(lane.lag(topic) for topic in lane.stage.sources)
            if behind and now - lane.moved_at > STUCK_SECONDS:
                return f"{stage}[{number}] is {behind} records behind and has not moved for {STUCK_SECONDS:.0f} s"
        return None

    def watch(self) -> None:
        """Export lag, and end a worker that was fenced for good: its group will share its partitions anew."""
        patience = 3 * self._settings.session_timeout_ms / 1_000
        for lane in self.lanes.values():
            for topic in lane.stage.sources:
                self._metrics.show_lag(topic, lane.number, lane.lag(topic))
            if lane.fenced_at is not None and monotonic() - lane.fenced_at > patience:
                self.fail(RuntimeError(f"fenced on {lane.owner.tp} without a rebalance"))
