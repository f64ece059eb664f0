"""The owner of one partition's state: the only one who may change it.

``commit`` is the heart: write a group to the state log, wait until the broker
acknowledges it, and only then change memory and local disk. The acknowledged
offset says whether anybody else wrote in between; if so the log decides, not
we. ``acquire`` makes a partition ours: write a fence, read the log through it.

The rule easy to get wrong: after a failed send nobody knows whether the group
is in the log. The process must end; recovery reads the log and finds out.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Mapping, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.kafka.batches import write_rows
from streams.kafka.groups import Change, Fence, LogGap, encode_fence, encode_group
from streams.kafka.reader import delete_before, log_starts, new_reader, read_through
from streams.kafka.replica import Replica, State, StateLogError
from streams.kafka.store import Store

__all__ = ["Fenced", "PartitionOwner", "State", "StateLogError", "acquire"]

log = structlog.get_logger(__name__)

READINGS = 5
"""How often a log may be truncated under our eyes before we give up; once is rare."""


class Fenced(Exception):
    """Another owner took this partition over; what we were about to commit does not count."""


class PartitionOwner(Replica):
    """State, local copy and state log of one partition of one stage.

    Args:
        tp: the state log's topic and partition.
        state: the stage's state, empty.
        store: its local copy.
        producer: a started producer.
        bootstrap: where else to reach the broker, for reading the log again.
        name: who we are, written into fences for whoever debugs the log.
        snapshot_bytes: write a snapshot after this many bytes of groups.
    """

    def __init__(
        self,
        *,
        tp: TopicPartition,
        state: State,
        store: Store,
        producer: AIOKafkaProducer,
        bootstrap: str,
        name: str,
        snapshot_bytes: int,
    ) -> None:
        super().__init__(tp, state, store)
        self._producer = producer
        self._bootstrap = bootstrap
        self._name = name
        self._snapshot_bytes = snapshot_bytes
        self._lock = asyncio.Lock()

    # -- taking possession ---------------------------------------------------

    async def write_fence(self) -> int:
        """Claim the partition; return the fence's offset."""
        fence = Fence(self.progress.log_id, self._name, nonce=secrets.token_hex(8))
        meta = await self._producer.send_and_wait(self.tp.topic, encode_fence(fence), partition=self.tp.partition)
        return int(meta.offset)

    def settle(self, fence: int) -> None:
        """Finish recovery: we own the partition if our fence is the newest."""
        if self._replay.unfitting:
            log.error("groups in the state log do not fit", where=self._where(), groups=self._replay.unfitting)
        self._store.write([], self.progress, replace=False)
        self.owned = self.progress.epoch == fence

    def release(self) -> None:
        """Stop writing; memory is kept, so getting the partition back is cheap."""
        self.owned = False

    # -- writing -------------------------------------------------------------

    async def commit(self, changes: Sequence[Change], after: dict[str, int]) -> None:
        """Make one slice's changes durable, then visible.

        Args:
            changes: keys and new values.
            after: next offset per source topic; a topic not named stays where it is.

        Raises:
            Fenced: another owner took over; nothing of ours counts.
            KafkaError: the outcome is unknown; the process must end.
        """
        after = {**self.offsets, **after}
        parts = encode_group(changes, progress=self.progress, after=after)
        if await self._append(parts):
            self._replay.written(changes, after, parts)

    async def snapshot_if_due(self) -> None:
        """Bound the log: write the whole state once, then drop everything before it."""
        progress = self.progress
        if progress.log_bytes < max(self._snapshot_bytes, 2 * progress.snapshot_bytes):
            return
        base, after = progress.position, progress.offsets
        parts = encode_group(self.state.dump(), progress=progress, after=after, snapshot=True)
        if await self._append(parts):
            self._replay.written(None, after, parts)
            if not await delete_before(self._bootstrap, self.tp, base):
                self._snapshot_bytes *= 2  # a broker that cannot delete gets few useless snapshots

    async def _append(self, parts: list[bytes]) -> bool:
        """Write a group. True: it lies where we expected. False: the log was read again."""
        if not self.owned:
            raise Fenced(self._where())
        if self._lock.locked():
            raise RuntimeError(f"two writers at once on {self._where()}")
        async with self._lock:
            try:
                return await self._append_once(parts)
            except BaseException:
                self.owned = False  # nobody knows what is in the log: write nothing more under this epoch
                raise

    async def _append_once(self, parts: list[bytes]) -> bool:
        expected = self.progress.position
        rows = [(None, part) for part in parts]
        acks = await write_rows(self._producer, self.tp.topic, self.tp.partition, rows)
        if not self.loaded:
            raise Fenced(self._where())
        in_order = True
        for base, count in acks:
            in_order = in_order and base == expected
            expected += count
        if not in_order:
            await self._reread(max(base + count for base, count in acks) - 1)
        return in_order

    async def _reread(self, last: int) -> None:
        """Somebody wrote between our records: let the log decide what counts."""
        wanted, epoch = self.progress.seq + 1, self.progress.epoch
        reader = new_reader(self._bootstrap)
        await reader.start()
        try:
            async for _, record in read_through(reader, {self.tp: (self.begin(), last)}):
                self.feed(record.offset, record.value)
        except LogGap as gap:  # the new owner truncated already
            raise Fenced(self._where()) from gap
        finally:
            await reader.stop()
        if self.progress.epoch != epoch or self.progress.seq < wanted:
            raise Fenced(self._where())


async def acquire(owners: Sequence[PartitionOwner], *, bootstrap: str) -> None:
    """Take possession of partitions: fence them, then read their logs through the fence.

    Afterwards ``owner.owned`` tells whether the fence held, and
    ``owner.offsets`` from where its sources must be read.
    """
    async with contextlib.AsyncExitStack() as stack:
        for owner in owners:
            owner.release()
            await stack.enter_async_context(owner._lock)  # a group still on its way
            owner.load()
        fences = await asyncio.gather(*(owner.write_fence() for owner in owners))
        by_tp = {owner.tp: (owner, fence) for owner, fence in zip(owners, fences, strict=True)}
        reader = new_reader(bootstrap)
        await reader.start()
        try:
            for reading in range(READINGS):
                try:
                    await _recover(reader, by_tp)
                    break
                except LogGap as gap:
                    log.warning("state log truncated while it was read: reading again", reason=str(gap))
                    if reading == READINGS - 1:
                        raise
        finally:
            await reader.stop()
        for owner, fence in by_tp.values():
            owner.settle(fence)


async def _recover(reader: AIOKafkaConsumer, owners: Mapping[TopicPartition, tuple[PartitionOwner, int]]) -> None:
    """Bring each owner's state to its fence; raises ``LogGap`` when that must be tried again."""
    starts = await log_starts(reader, list(owners))
    unseen = dict(starts)
    async for tp, record in read_through(reader, {tp: (at, at) for tp, at in starts.items()}):
        owner, fence = owners[tp]
        owner.check_start(record.offset, record.value, fence)
        del unseen[tp]
    if unseen:
        raise LogGap(f"{unseen} no longer begin there")
    targets = {tp: (owner.begin(), fence) for tp, (owner, fence) in owners.items()}
    async for tp, record in read_through(reader, targets):
        owners[tp][0].feed(record.offset, record.value)
    for tp, (owner, _) in owners.items():
        if owner.misfits:
            owner.start_over("groups in the log do not continue it")
            raise LogGap(f"{tp} must be read from its start")
