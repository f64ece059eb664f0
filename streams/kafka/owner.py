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
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.kafka.batches import write_rows
from streams.kafka.groups import (
    Change,
    Fence,
    ForeignRecord,
    LogGap,
    LogReplay,
    Part,
    Progress,
    decode_record,
    encode_fence,
    encode_group,
)
from streams.kafka.reader import delete_before, log_starts, new_reader, read_through
from streams.kafka.store import Store

__all__ = ["Fenced", "PartitionOwner", "State", "StateLogError", "acquire"]

log = structlog.get_logger(__name__)

READINGS = 5
"""How often a log may be truncated under our eyes before we give up; once is rare."""


class Fenced(Exception):
    """Another owner took this partition over; what we were about to commit does not count."""


class StateLogError(Exception):
    """The state log holds something that no owner wrote, or has lost its beginning."""


class State(Protocol):
    """What a stage keeps for one partition, as entries of bytes."""

    def apply(self, changes: Iterable[Change]) -> None:
        """Take the changes of whole groups; must not fail on what the stage itself wrote."""

    def dump(self) -> Iterable[tuple[bytes, bytes]]:
        """Yield every entry: applied to an empty state they give this state."""

    def clear(self) -> None:
        """Become the empty state."""


class PartitionOwner:
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
        self.tp = tp
        self.state = state
        self.owned = False
        self.loaded = False
        self._store = store
        self._producer = producer
        self._bootstrap = bootstrap
        self._name = name
        self._snapshot_bytes = snapshot_bytes
        self._epoch = -1
        self._lock = asyncio.Lock()
        self._replay = LogReplay(Progress(), self._applied)

    @property
    def progress(self) -> Progress:
        """How far the state has come."""
        return self._replay.progress

    @property
    def offsets(self) -> dict[str, int]:
        """Next source offsets; a topic not yet read is absent."""
        return self.progress.offsets

    # -- taking possession ---------------------------------------------------

    def load(self) -> None:
        """Fill memory from the local copy, once."""
        if self.loaded:
            return
        self._restart(Progress())
        kept = self._store.load()
        if kept is not None:
            progress, entries = kept
            try:
                self.state.apply(entries)
                self._replay = LogReplay(progress, self._applied)
            except Exception as error:  # whatever it is, the log has the state
                self.start_over(repr(error))
        self.loaded = True

    async def write_fence(self) -> int:
        """Claim the partition; return the fence's offset."""
        fence = Fence(self.progress.log_id, self._name, nonce=secrets.token_hex(8))
        meta = await self._producer.send_and_wait(
            self.tp.topic, encode_fence(fence), partition=self.tp.partition
        )
        return int(meta.offset)

    def start_over(self, reason: str) -> None:
        """Forget the state; the local copy is set aside, loudly."""
        place = self._store.set_aside()
        log.error(
            "local state cannot be used: starting from the log",
            topic=self.tp.topic,
            partition=self.tp.partition,
            reason=reason,
            kept=str(place) if place else None,
        )
        self._restart(Progress())

    def check_start(self, start: int, value: bytes | None, fence: int) -> None:
        """Look at the log's first record: is the state that we hold a state of this log?

        Raises:
            StateLogError: the log was cut, not by us, and the state with it.
        """
        record = self._decode(start, value)
        known, log_id = self.progress.log_id, record.names(start)
        if known not in ("", log_id):
            self.start_over(f"the log is {log_id}, the state is of {known}")
        elif self.progress.position > fence != self.progress.epoch:
            self.start_over(f"the log ends before {fence}, the state has read to {self.progress.position}")
        if self.progress.position < start:
            if not (isinstance(record, Part) and record.snapshot and record.index == 0):
                raise StateLogError(
                    f"{self.tp.topic}[{self.tp.partition}] begins at offset {start} without a snapshot: something "
                    "else than campaignwatch deleted records of it. Set its retention.ms to -1 and its "
                    "cleanup.policy to delete; delete the topic to start clean"
                )
            self._restart(Progress(position=start))

    def begin(self) -> int:
        """Prepare to be fed; return the log offset that is wanted next."""
        self._replay.rewind()
        return self.progress.position

    def feed(self, offset: int, value: bytes | None) -> None:
        """Take one record of the log while recovering."""
        try:
            self._replay.feed(offset, value)
        except ForeignRecord as error:
            raise self._foreign(offset, error) from error

    def settle(self, fence: int) -> None:
        """Finish recovery: we own the partition if our fence is the newest."""
        if self._replay.unfitting:
            log.error("groups in the state log do not fit", where=self._where(), groups=self._replay.unfitting)
        self._store.write([], self.progress, replace=False)
        self._epoch = fence
        self.owned = self.progress.epoch == fence

    @property
    def misfits(self) -> bool:
        """Whether the log tells another story than the local copy that we began with."""
        return bool(self._replay.unfitting) and self._replay.began > 0

    def release(self) -> None:
        """Stop writing; memory is kept, so getting the partition back is cheap."""
        self.owned = False

    def forget(self) -> None:
        """Drop memory and close the local copy: somebody else owns the partition now."""
        self.owned = self.loaded = False
        self._restart(Progress())
        self._store.close()

    def _restart(self, progress: Progress) -> None:
        self.state.clear()
        self._replay = LogReplay(progress, self._applied)

    def _applied(self, changes: Sequence[Change], replace: bool) -> None:
        try:
            if replace:
                self.state.clear()
            self.state.apply(changes)
            self._store.write(changes, self.progress, replace=replace)
        except BaseException:
            self.owned = self.loaded = False  # memory may be ahead of the disk, or half changed
            raise

    def _decode(self, offset: int, value: bytes | None) -> Fence | Part:
        try:
            return decode_record(value)
        except ForeignRecord as error:
            raise self._foreign(offset, error) from error

    def _foreign(self, offset: int, error: ForeignRecord) -> StateLogError:
        return StateLogError(
            f"{self.tp.topic}[{self.tp.partition}] offset {offset} holds no state record ({error}): another program "
            "or version writes to this topic. Use another topic prefix, or delete the topic to start clean"
        )

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
        if not self.owned or self.progress.epoch != self._epoch:
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

    def _where(self) -> str:
        return f"{self.tp.topic}[{self.tp.partition}] epoch {self.progress.epoch}"


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


async def _recover(
    reader: AIOKafkaConsumer, owners: Mapping[TopicPartition, tuple[PartitionOwner, int]]
) -> None:
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
