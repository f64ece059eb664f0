"""Read topics whole, for checks; every function waits with a deadline, none sleeps blindly."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from threading import Event
from typing import Any

import msgspec
from aiokafka import ConsumerRecord, TopicPartition

from streams.clock import monotonic
from streams.kafka.reader import log_starts, new_reader, read_through, true_ends
from streams.simulate.truth import Truth, compare

__all__ = ["newest_windows", "read_topic", "spans", "wait_for_windows", "wait_until", "windows"]


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


def read_topic(bootstrap: str, topic: str) -> list[ConsumerRecord]:
    """Return all records of a topic, partition by partition in offset order."""

    async def read() -> list[ConsumerRecord]:
        edges = await _edges(bootstrap, [topic])
        targets = {tp: (start, end - 1) for tp, (start, end) in edges.items() if end > start}
        if not targets:
            return []
        reader = new_reader(bootstrap)
        await reader.start()
        try:
            return [record async for _, record in read_through(reader, targets)]
        finally:
            await reader.stop()

    return asyncio.run(read())


def windows(bootstrap: str, topic: str) -> list[dict[str, Any]]:
    """Return every record of a ``campaign.windows`` topic, decoded."""
    return [msgspec.json.decode(record.value) for record in read_topic(bootstrap, topic) if record.value]


def newest_windows(bootstrap: str, topic: str) -> dict[str, dict[str, Any]]:
    """Return the record with the highest revision per window."""
    newest: dict[str, dict[str, Any]] = {}
    for window in windows(bootstrap, topic):
        kept = newest.get(window["id"])
        if kept is None or window["revision"] >= kept["revision"]:
            newest[window["id"]] = window
    return newest


def wait_for_windows(bootstrap: str, prefix: str, truth: Truth | Mapping[str, Any], seconds: float) -> None:
    """Wait until the newest revisions on ``campaign.windows`` equal ``truth``; fail with the first differences."""
    differences = ["nothing was read"]

    def equal() -> bool:
        differences[:] = compare(truth, windows(bootstrap, f"{prefix}campaign.windows"))
        return not differences

    try:
        wait_until(equal, seconds, "windows equal the truth", every=2)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{len(differences)} differences:\n" + "\n".join(differences[:20])) from None


def wait_until(condition: Callable[[], object], seconds: float, what: str, *, every: float = 0.5) -> Any:
    """Return the first true result of ``condition``; fail with ``what`` after ``seconds``."""
    deadline = monotonic() + seconds
    last: object = None
    while monotonic() < deadline:
        last = condition()
        if last:
            return last
        _pause(every)
    raise AssertionError(f"not within {seconds:.0f} s: {what} (last: {str(last)[:300]})")


def _pause(seconds: float) -> None:
    Event().wait(seconds)
