"""Send simulated events from a test, without a process of its own."""

import asyncio

from streams.kafka.batches import Row
from streams.kafka.produce import KeyedWriter
from streams.simulate import Simulator

__all__ = ["send", "send_references"]


def send(bootstrap: str, prefix: str, stream: Simulator, events: int) -> int:
    """Send the next ``events`` records of ``stream``; return how many went to ``clicks``."""
    rows: dict[str, list[Row]] = {}
    for topic, key, value in stream.batch(events):
        rows.setdefault(topic, []).append((key, value))

    _write(bootstrap, {prefix + topic: some for topic, some in rows.items()})
    return len(rows.get("clicks", ()))


def send_references(bootstrap: str, prefix: str, stream: Simulator) -> None:
    """Send the campaigns that the events of ``stream`` belong to."""
    _write(bootstrap, {f"{prefix}campaigns": list(stream.references())})


def _write(bootstrap: str, rows: dict[str, list[Row]]) -> None:
    async def write() -> None:
        async with KeyedWriter(bootstrap) as writer:
            for topic, some in rows.items():
                await writer.write(topic, some)

    asyncio.run(write())
