"""Read topics whole, for checks."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from aiokafka import ConsumerRecord, TopicPartition

from streams.kafka.reader import log_starts, new_reader, read_through, true_ends
from streams.simulate.truth import Truth, compare
from tests.waiting import wait_for

__all__ = ["Windows", "read_topic", "spans", "wait_for_windows"]


async def _partitions(bootstrap: str, topics: Iterable[str]) -> list[TopicPartition]:
    reader = new_reader(bootstrap)
    await reader.start()
    try:
        found = []
        for topic in topics:
            await reader._client.force_metadata_update()
            found += [TopicPartition(topic, p) for p in sorted(reader.partitions_for_topic(topic) or ())]
        return found
    finally:
        await reader.stop()


async def _edges(bootstrap: str, topics: Iterable[str]) -> dict[TopicPartition, tuple[int, int]]:
    partitions = await _partitions(bootstrap, topics)
    ends = await true_ends(bootstrap, partitions)
    reader = new_reader(bootstrap)
    await reader.start()
    try:
        starts = await log_starts(reader, partitions)
    finally:
        await reader.stop()
    return {tp: (starts[tp], ends[tp]) for tp in partitions}


def spans(bootstrap: str, *topics: str) -> dict[str, int]:
    """Return the number of offsets between start and end of each topic."""
    edges = asyncio.run(_edges(bootstrap, topics))
    return {topic: sum(end - start for tp, (start, end) in edges.items() if tp.topic == topic) for topic in topics}


async def _read(bootstrap: str, topic: str, after: dict[TopicPartition, int]) -> list[ConsumerRecord]:
    """Return the records from the offsets ``after`` on, and move them to the end."""
    edges = await _edges(bootstrap, [topic])
    targets = {}
    for tp, (start, end) in edges.items():
        first = after.get(tp, start)
        if end > first:
            targets[tp] = (first, end - 1)
            after[tp] = end
    if not targets:
        return []
    reader = new_reader(bootstrap)
    await reader.start()
    try:
        return [record async for _, record in read_through(reader, targets)]
    finally:
        await reader.stop()


def read_topic(bootstrap: str, topic: str) -> list[ConsumerRecord]:
    """Return all records of a topic, partition by partition in offset order."""
    return asyncio.run(_read(bootstrap, topic, {}))


class Windows:
    """The newest revision of every window of a ``campaign.windows`` topic; each look reads only what is new."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._next: dict[TopicPartition, int] = {}
        self.newest: dict[str, dict[str, Any]] = {}

    def look(self) -> list[dict[str, Any]]:
        """Return the newest windows as of now."""
        for record in asyncio.run(_read(self._bootstrap, self._topic, self._next)):
            window = msgspec.json.decode(record.value)
            kept = self.newest.get(window["id"])
            if kept is None or window["revision"] >= kept["revision"]:
                self.newest[window["id"]] = window
        return list(self.newest.values())


def wait_for_windows(bootstrap: str, prefix: str, truth: Truth | Mapping[str, Any], seconds: float) -> None:
    """Wait until the newest revisions on ``campaign.windows`` equal ``truth``; fail with the first differences."""
    differences = ["nothing was read"]
    windows = Windows(bootstrap, f"{prefix}campaign.windows")

    def equal() -> bool:
        differences[:] = compare(truth, windows.look())
        return not differences

    try:
        wait_for(equal, seconds, "windows equal the truth", every=2)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{len(differences)} differences:\n" + "\n".join(differences[:20])) from None
