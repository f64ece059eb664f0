"""What the tests of owners share: a state of plain entries, a state log for each test, owners of it."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.kafka.batches import new_producer
from streams.kafka.groups import Change, Progress
from streams.kafka.owner import PartitionOwner, acquire
from streams.kafka.reader import log_starts, new_reader, read_through, true_ends
from streams.kafka.store import DiskStore, MemoryStore, Store

__all__ = ["Book", "World", "make_topics", "world"]


class Book:
    """A state of plain entries; also a fake of memory in which any step may fail."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}
        self.before_apply: Callable[[], None] = lambda: None

    def apply(self, changes: Iterable[Change]) -> None:
        self.before_apply()
        for key, value in changes:
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = value

    def dump(self) -> Iterable[tuple[bytes, bytes]]:
        return self.entries.items()

    def clear(self) -> None:
        self.entries.clear()


class World:
    """A broker's state log and the owners that fight over it, each with its own producer."""

    def __init__(self, bootstrap: str, topic: str, folder: Path, stack: AsyncExitStack) -> None:
        self.bootstrap = bootstrap
        self.tp = TopicPartition(topic, 0)
        self.folder = folder
        self._stack = stack

    async def producer(self) -> AIOKafkaProducer:
        producer = new_producer(self.bootstrap)
        await producer.start()
        self._stack.push_async_callback(producer.stop)
        return producer

    async def owner(
        self, *, disk: str | None = None, store: Store | None = None, partition: int = 0, snapshot_bytes: int = 1 << 40
    ) -> PartitionOwner:
        """Return an owner that owns nothing yet; ``disk`` names its local copy."""
        if store is None:
            store = DiskStore(self.folder / disk) if disk else MemoryStore()
        self._stack.callback(store.close)
        return PartitionOwner(
            tp=TopicPartition(self.tp.topic, partition),
            state=Book(),
            store=store,
            producer=await self.producer(),
            bootstrap=self.bootstrap,
            name="test",
            snapshot_bytes=snapshot_bytes,
        )

    async def owning(self, **options: object) -> PartitionOwner:
        """Return an owner that has taken possession."""
        owner = await self.owner(**options)  # type: ignore[arg-type]
        await acquire([owner], bootstrap=self.bootstrap)
        assert owner.owned
        return owner

    async def log(self) -> list[bytes]:
        """Return every record of the log that the broker still has."""
        reader = new_reader(self.bootstrap)
        await reader.start()
        try:
            start = (await log_starts(reader, [self.tp]))[self.tp]
            end = (await true_ends(self.bootstrap, [self.tp]))[self.tp]
            return [record.value async for _, record in read_through(reader, {self.tp: (start, end - 1)})]
        finally:
            await reader.stop()

    async def recovered(self) -> tuple[dict[bytes, bytes], dict[str, int]]:
        """Return what a new owner without a local copy gets from the log."""
        owner = await self.owning()
        return entries(owner), dict(owner.offsets)


def entries(owner: PartitionOwner) -> dict[bytes, bytes]:
    """Return what an owner holds in memory."""
    return owner.state.entries  # type: ignore[attr-defined,no-any-return]


def kept(store: Store) -> tuple[Progress, dict[bytes, bytes]] | None:
    """Return what a local copy holds."""
    loaded = store.load()
    return None if loaded is None else (loaded[0], dict(loaded[1]))


async def make_topics(bootstrap: str, **partitions: int) -> None:
    """Create topics, name=partition count."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, count, 1) for name, count in partitions.items()])
    finally:
        await admin.close()


async def delete_topic(bootstrap: str, name: str) -> None:
    """Delete a topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([name])
    finally:
        await admin.close()


@asynccontextmanager
async def world(bootstrap: str, prefix: str, folder: Path, *, partitions: int = 1) -> AsyncIterator[World]:
    """Yield a world with an empty state log; everything opened in it is closed at the end."""
    topic = f"{prefix}state"
    await make_topics(bootstrap, **{topic: partitions})
    async with AsyncExitStack() as stack:
        yield World(bootstrap, topic, folder, stack)
