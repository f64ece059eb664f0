"""Has this event been seen before? Exact within a horizon of event time.

An event is known by its topic, user and ``event_id``. The first one counts.
The same id again with the same known fields is a *duplicate* (a producer's
retry); with other fields it is a *conflict*, which a person must look at.

The rule easy to get wrong: an id must be remembered as long as a repeat of it
could still be accepted. It is kept until the source's watermark has passed the
event (or the watermark at its arrival, if that is later) by the horizon.
"""

import struct
from collections.abc import Iterable, Iterator
from hashlib import blake2b

import msgspec
from msgspec.structs import astuple

__all__ = ["HOUR_MS", "SeenIds", "SliceIds", "event_key", "fields_digest", "pack_ids", "unpack_ids"]

HOUR_MS = 3_600_000
_ROW = struct.Struct("<16sQ8s")

SeenId = tuple[bytes, int, bytes]
"""Key (16 bytes), offset of the first occurrence, digest of its known fields (8 bytes)."""


_fields = msgspec.msgpack.Encoder().encode


def event_key(user_id: str, event_id: str) -> bytes:
    """Return the 16-byte identity of an event within its topic.

    The length before the user keeps apart what would be one text. 128 bits: at 20 million remembered
    ids a chance collision has probability 1e-24.
    """
    return blake2b(f"{len(user_id)} {user_id}{event_id}".encode(), digest_size=16).digest()


def fields_digest(event: msgspec.Struct) -> bytes:
    """Return 8 bytes that tell whether the known fields of two events are the same."""
    return blake2b(_fields(astuple(event)), digest_size=8).digest()


def pack_ids(rows: Iterable[SeenId]) -> bytes:
    """Return the compact form of first occurrences, 32 bytes each."""
    pack = _ROW.pack
    return b"".join([pack(*row) for row in rows])


def unpack_ids(blob: bytes) -> Iterator[SeenId]:
    """Return what :func:`pack_ids` was given."""
    return _ROW.iter_unpack(blob)


class SeenIds:
    """First occurrences of one source's events, in hourly generations.

    A *chunk* is the ids that one slice added to one generation: the unit that
    is stored, and deleted when its generation has passed the horizon.
    """

    def __init__(self, *, horizon_ms: int) -> None:
        self._horizon_ms = horizon_ms
        self._seen: dict[bytes, tuple[int, bytes, int]] = {}
        self._chunks: dict[int, dict[int, bytes]] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def get(self, key: bytes, watermark: int | None) -> tuple[int, bytes] | None:
        """Return offset and digest of the first occurrence, if the horizon has not passed it.

        The answer depends on the watermark alone, not on when chunks are dropped: so it does not
        depend on how the records were cut into slices.
        """
        seen = self._seen.get(key)
        if seen is None or seen[2] < self.oldest(watermark):
            return None
        return seen[:2]

    def oldest(self, watermark: int | None) -> int:
        """Return the oldest generation that is still remembered."""
        return -1 if watermark is None else (watermark - self._horizon_ms) // HOUR_MS

    @staticmethod
    def generation(time_ms: int, watermark: int | None) -> int:
        """Return the hour in which an event starts to be remembered."""
        return (time_ms if watermark is None or time_ms > watermark else watermark) // HOUR_MS

    def add(self, generation: int, chunk: int, blob: bytes) -> None:
        """Remember the first occurrences of a chunk."""
        seen = self._seen
        for key, offset, digest in unpack_ids(blob):
            known = seen.get(key)
            if known is None or known[2] <= generation:  # else it came again: a snapshot holds both
                seen[key] = (offset, digest, generation)
        self._chunks.setdefault(generation, {})[chunk] = blob

    def drop(self, generation: int, chunk: int) -> None:
        """Forget a chunk."""
        chunks = self._chunks.get(generation, {})
        seen = self._seen
        for key, _, _ in unpack_ids(chunks.pop(chunk, b"")):
            if key in seen and seen[key][2] == generation:  # else it came again, and is newer
                del seen[key]
        if not chunks:
            self._chunks.pop(generation, None)

    def expired(self, watermark: int | None) -> list[tuple[int, int]]:
        """Return ``(generation, chunk)`` of everything that the horizon has passed."""
        oldest = self.oldest(watermark)
        return [
            (generation, chunk)
            for generation, chunks in self._chunks.items()
            if generation < oldest
            for chunk in chunks
        ]

    def dump(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield every chunk as it came: generation, chunk number, packed ids."""
        for generation, chunks in self._chunks.items():
            for chunk, blob in chunks.items():
                yield generation, chunk, blob

    def clear(self) -> None:
        """Forget everything."""
        self._seen.clear()
        self._chunks.clear()


class SliceIds:
    """The ids of a slice at work, over what is remembered; nothing is changed yet."""

    def __init__(self, seen: SeenIds) -> None:
        self._seen = seen
        self._fresh: dict[bytes, tuple[int, bytes, int]] = {}

    def get(self, key: bytes, watermark: int | None) -> tuple[int, bytes] | None:
        """Return offset and digest of the first occurrence, in the slice or before it."""
        fresh = self._fresh.get(key)
        if fresh is None:
            return self._seen.get(key, watermark)
        if fresh[2] < self._seen.oldest(watermark):
            return None
        return fresh[:2]

    def add(self, key: bytes, offset: int, digest: bytes, generation: int) -> None:
        """Remember a first occurrence."""
        self._fresh[key] = (offset, digest, generation)

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        """Yield generation and packed ids, one chunk per generation."""
        by_generation: dict[int, list[SeenId]] = {}
        for key, (offset, digest, generation) in self._fresh.items():
            by_generation.setdefault(generation, []).append((key, offset, digest))
        for generation, rows in by_generation.items():
            yield generation, pack_ids(rows)
