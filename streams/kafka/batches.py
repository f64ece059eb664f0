"""Write many records as record batches: the fast way to a partition.

``send`` costs about 18 us per record; filling a batch ourselves costs about
2 us. The rule easy to get wrong: a batch is capped by the producer's
``max_batch_size``, so a list of records may need several, each acknowledged
with its own base offset.
"""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer

__all__ = ["MAX_BATCH_BYTES", "Row", "new_producer", "write_rows"]

Row = tuple[bytes | None, bytes | None]
"""Key and value of one record."""

MAX_BATCH_BYTES = 900_000
"""Below a broker's default ``message.max.bytes`` of 1 MB, with room for headers."""


def new_producer(bootstrap: str) -> AIOKafkaProducer:
    """Return an unstarted producer that waits for all in-sync replicas.

    Idempotence stays off: repeats are recognised by the state groups, and not
    every broker has it.
    """
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        linger_ms=0,
        max_batch_size=MAX_BATCH_BYTES,
        max_request_size=1_048_576,
        request_timeout_ms=30_000,
    )


async def write_rows(
    producer: AIOKafkaProducer, topic: str, partition: int, rows: Sequence[Row]
) -> list[tuple[int, int]]:
    """Write ``rows`` in order; return base offset and count of each batch, all acknowledged.

    Raises the broker's error when a batch fails: its outcome is then unknown.
    """
    sent: list[tuple[asyncio.Future[object], int]] = []
    batch = producer.create_batch()
    for key, value in rows:
        if batch.append(key=key, value=value, timestamp=None) is None:
            sent.append(await _send(producer, batch, topic, partition))
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=None)  # the first one always goes in
    if batch.record_count():
        sent.append(await _send(producer, batch, topic, partition))
    done = await asyncio.gather(*(future for future, _ in sent))
    return [(meta.offset, count) for meta, (_, count) in zip(done, sent, strict=True)]  # type: ignore[attr-defined]


async def _send(
    producer: AIOKafkaProducer, batch: object, topic: str, partition: int
) -> tuple["asyncio.Future[object]", int]:
    count = batch.record_count()  # type: ignore[attr-defined]
    batch.close()  # type: ignore[attr-defined]
    return await producer.send_batch(batch, topic, partition=partition), count
