"""A process to be killed: it counts a made-up source into a state log."""

import asyncio
import sys
from pathlib import Path

from aiokafka import TopicPartition

from streams.kafka.batches import new_producer
from streams.kafka.owner import PartitionOwner, acquire
from streams.kafka.store import DiskStore, MemoryStore
from tests.streams.kafka.owners import Book

__all__ = ["KEYS", "count_slice", "main"]

KEYS = 37
SLICE = 40


def count_slice(entries: dict[bytes, bytes], first: int, last: int) -> list[tuple[bytes, bytes | None]]:
    """Return the changes that counting the numbers ``first`` to ``last - 1`` by remainder makes."""
    changed: dict[bytes, bytes | None] = {}
    for number in range(first, last):
        key = b"%d" % (number % KEYS)
        changed[key] = b"%d" % (int(changed.get(key) or entries.get(key, b"0")) + 1)
    return list(changed.items())


async def main(bootstrap: str, topic: str, folder: str, numbers: int) -> None:
    """Count up to ``numbers``, saying each step on standard output."""
    producer = new_producer(bootstrap)
    await producer.start()
    book = Book()
    owner = PartitionOwner(
        tp=TopicPartition(topic, 0),
        state=book,
        store=DiskStore(Path(folder)) if folder else MemoryStore(),
        producer=producer,
        bootstrap=bootstrap,
        name="crash",
        snapshot_bytes=5_000,
    )
    await acquire([owner], bootstrap=bootstrap)
    while (first := owner.offsets.get("numbers", 0)) < numbers:
        print(first, flush=True)
        last = min(first + SLICE, numbers)
        await owner.commit(count_slice(book.entries, first, last), {"numbers": last})
        await owner.snapshot_if_due()
    print("done", flush=True)
    await producer.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4], int(sys.argv[4])))
