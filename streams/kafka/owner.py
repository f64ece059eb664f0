"""The owner of one partition's state: the only one who may change it.

``commit`` is the heart: write a group to the state log, wait until the broker
acknowledges it, and only then change memory and local disk. The acknowledged
offset says whether anybody else wrote in between; if so the log decides, not
we. ``acquire`` makes a partition ours: write a fence, read the log through it.

The rule easy to get wrong: after a failed send nobody knows whether the group
is in the log. The process must end; recovery reads the log and finds out.
"""

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from typing import Protocol

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError

from streams.kafka.batches import write_rows
from streams.kafka.groups import (
    Change,
    Fence,
    LogReplay,
    Progress,
    decode_record,
    encode_fence,
    encode_group,
)
from streams.kafka.reader import log_starts, new_reader, read_through
from streams.kafka.store import Store

__all__ = ["Fenced", "PartitionOwner", "State", "acquire"]

log = structlog.get_logger(__name__)


class Fenced(Exception):
    """Another owner took this partition over; what we were about to commit does not count."""


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
        self._base = 0
        self._bytes_since_snapshot = 0
        self._bytes_of_snapshot = 0
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
        kept = self._store.load()
        if kept is not None:
            progress, entries = kept
            self.state.apply(entries)
            self._replay = LogReplay(progress, self._applied)
        self.loaded = True

    async def write_fence(self) -> int:
        """Claim the partition; return the fence's offset."""
        fence = Fence(log_id=self.progress.log_id or secrets.token_hex(8), owner=self._name)
        meta = await self._producer.send_and_wait(
            self.tp.topic, encode_fence(fence), partition=self.tp.partition
        )
        return int(meta.offset)

    def start_over(self, reason: str) -> None:
        """Forget the state; the local copy is set aside, loudly."""
        place = self._store.set_aside()
        log.error(
            "local state does not belong to this state log: starting from the log",
            topic=self.tp.topic,
            partition=self.tp.partition,
            reason=reason,
            kept=str(place) if place else None,
        )
        self.state.clear()
        self._replay = LogReplay(Progress(), self._applied)

    def check_identity(self, log_id: str) -> None:
        """Compare the log's own identity with the one our local copy remembers."""
        if self.progress.log_id not in ("", log_id):
            self.start_over(f"the log is {log_id}, the state is of {self.progress.log_id}")

    def check_position(self, log_start: int) -> None:
        """Drop a local copy that is older than what the truncated log still holds."""
        if self.progress.position < log_start:
            self.state.clear()
            self._replay = LogReplay(Progress(), self._applied)

    def feed(self, offset: int, value: bytes) -> None:
        """Take one record of the log while recovering."""
        self._replay.feed(offset, value)

    def settle(self, fence: int) -> None:
        """Finish recovery: we own the partition if our fence is the newest."""
        self.owned = self.progress.epoch == fence
        self._store.write([], self.progress, replace=False)

    def release(self) -> None:
        """Stop writing; memory is kept, so getting the partition back is cheap."""
        self.owned = False

    def forget(self) -> None:
        """Drop memory and close the local copy: somebody else owns the partition now."""
        self.owned = False
        self.state.clear()
        self._store.close()

    def _applied(self, changes: Sequence[Change], replace: bool) -> None:
        if replace:
            self.state.clear()
        self.state.apply(changes)
        if self.loaded:
            self._store.write(changes, self.progress, replace=replace)

    # -- writing -------------------------------------------------------------

    async def commit(self, changes: Sequence[Change], after: dict[str, int]) -> None:
        """Make one slice's changes durable, then visible.

        Args:
            changes: keys and new values.
            after: next offset per source topic.

        Raises:
            Fenced: another owner took over; nothing of ours counts.
            KafkaError: the outcome is unknown; the process must end.
        """
        parts = encode_group(changes, progress=self.progress, after=after)
        if await self._append(parts):
            for index, part in enumerate(parts):
                self.feed(self._base + index, part)
        self._bytes_since_snapshot += sum(map(len, parts))

    async def snapshot_if_due(self) -> None:
        """Bound the log: write the whole state once, then drop everything before it."""
        if self._bytes_since_snapshot < max(self._snapshot_bytes, 2 * self._bytes_of_snapshot):
            return
        after = self.progress.offsets
        parts = encode_group(self.state.dump(), progress=self.progress, after=after, snapshot=True)
        if await self._append(parts):
            self._replay.passed(len(parts))
            self._store.write([], self.progress, replace=False)
            await self._truncate(self._base)
        self._bytes_since_snapshot = 0
        self._bytes_of_snapshot = sum(map(len, parts))

    async def _append(self, parts: list[bytes]) -> bool:
        """Write a group. True: it lies where we expected. False: the log was read again."""
        if not self.owned:
            raise Fenced(self._where())
        expected = self._base = self.progress.position
        rows = [(None, part) for part in parts]
        acks = await write_rows(self._producer, self.tp.topic, self.tp.partition, rows)
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
            async for _, record in read_through(reader, {self.tp: (self.progress.position, last)}):
                self.feed(record.offset, record.value)
        finally:
            await reader.stop()
        if self.progress.epoch != epoch or self.progress.seq < wanted:
            self.owned = False
            raise Fenced(self._where())

    async def _truncate(self, before: int) -> None:
        """Delete the log before ``before``; a broker that cannot keeps a longer log."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        try:
            await admin.start()
            await admin.delete_records({self.tp: RecordsToDelete(before)})
        except (KafkaError, KeyError, IndexError) as error:
            log.warning("state log not truncated", where=self._where(), error=repr(error))
        finally:
            await admin.close()

    def _where(self) -> str:
        return f"{self.tp.topic}[{self.tp.partition}] epoch {self.progress.epoch}"


async def acquire(owners: Sequence[PartitionOwner], *, bootstrap: str) -> None:
    """Take possession of partitions: fence them, then read their logs through the fence.

    Afterwards ``owner.owned`` tells whether the fence held, and
    ``owner.offsets`` from where its sources must be read.
    """
    for owner in owners:
        owner.load()
    fences = await asyncio.gather(*(owner.write_fence() for owner in owners))
    by_tp = {owner.tp: owner for owner in owners}
    reader = new_reader(bootstrap)
    await reader.start()
    try:
        starts = await log_starts(reader, list(by_tp))
        async for tp, record in read_through(reader, {tp: (at, at) for tp, at in starts.items()}):
            by_tp[tp].check_identity(decode_record(record.value).log_id)
        targets = {}
        for owner, fence in zip(owners, fences, strict=True):
            owner.check_position(starts[owner.tp])
            targets[owner.tp] = (max(owner.progress.position, starts[owner.tp]), fence)
        async for tp, record in read_through(reader, targets):
            by_tp[tp].feed(record.offset, record.value)
    finally:
        await reader.stop()
    for owner, fence in zip(owners, fences, strict=True):
        owner.settle(fence)
