"""What one source (one topic's partition) has taught us: its state beside the panes.

The state is kept as entries of bytes, one letter for the kind:

* ``w`` the watermark, ``l`` the ledger, ``c`` what is closed: one entry each;
* ``d`` chunks of remembered event ids.
"""

from collections.abc import Iterator

import msgspec

from streams.dedupe import SeenIds
from streams.ledger import Ledger
from streams.panes import Closed
from streams.watermark import Watermark

__all__ = ["Source", "chunk_key", "chunk_name", "source_key"]

_pack = msgspec.msgpack.Encoder().encode
_chunk_name = msgspec.msgpack.Decoder(tuple[str, int, int]).decode
_watermark = msgspec.msgpack.Decoder(Watermark).decode
_ledger = msgspec.msgpack.Decoder(Ledger).decode
_closed = msgspec.msgpack.Decoder(Closed).decode


def source_key(kind: bytes, topic: str) -> bytes:
    """Return the key of a source's single entry.

    >>> source_key(b"w", "clicks")
    b'wclicks'
    """
    return kind + topic.encode()


def chunk_key(topic: str, generation: int, chunk: int) -> bytes:
    """Return the key of a chunk of remembered ids."""
    return b"d" + _pack((topic, generation, chunk))


def chunk_name(key: bytes) -> tuple[str, int, int]:
    """Return topic, generation and number of a chunk from its key."""
    return _chunk_name(key[1:])


class Source:
    """Watermark, ledger, closed panes and seen ids of one source."""

    def __init__(self, topic: str, *, dedupe_horizon_ms: int) -> None:
        self.topic = topic
        self.seen = SeenIds(horizon_ms=dedupe_horizon_ms)
        self.clear()

    def clear(self) -> None:
        """Become the source of which nothing was read."""
        self.seen.clear()
        self.watermark = Watermark()
        self.ledger: Ledger | None = None
        self.closed = Closed()

    def put(self, kind: bytes, value: bytes) -> None:
        """Take a durable change of the watermark, the ledger or what is closed."""
        if kind == b"w":
            self.watermark = _watermark(value)
        elif kind == b"l":
            self.ledger = _ledger(value)
        else:
            self.closed = _closed(value)

    def put_chunk(self, generation: int, chunk: int, value: bytes | None) -> None:
        """Take a durable change of remembered ids."""
        if value is None:
            self.seen.drop(generation, chunk)
        else:
            self.seen.add(generation, chunk, value)

    def dump(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield every entry."""
        yield source_key(b"w", self.topic), _pack(self.watermark)
        yield source_key(b"c", self.topic), _pack(self.closed)
        if self.ledger is not None:
            yield source_key(b"l", self.topic), _pack(self.ledger)
        for generation, chunk, blob in self.seen.dump():
            yield chunk_key(self.topic, generation, chunk), blob
