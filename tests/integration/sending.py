"""Send simulated events from a test, without a process of its own."""

import asyncio

from streams.kafka.produce import KeyedWriter
from streams.simulate import Simulator

__all__ = ["send"]


def send(bootstrap: str, prefix: str, stream: Simulator, events: int) -> int:
    """Send the next ``events`` records of ``stream``; return how many went to ``clicks``."""
    rows: dict[str, list[tuple[bytes | None, bytes | None]]] = {}
    for topic, key, value in stream.batch(events):
        rows.setdefault(topic, []).append((key, value))

    async def write() -> None:
        async with KeyedWriter(bootstrap) as writer:
            for topic, some in rows.items():
                await writer.write(prefix + topic, some)

    asyncio.run(write())
    return len(rows.get("clicks", ()))
