"""What the merge step knows of its sources, and the watermark they give together.

The merged watermark is the minimum over the sources; it labels windows and
decides nothing else. Every source that topic metadata promises must have
spoken before there is one: an owner that has not started yet holds it, an idle
one does not.
"""

from collections.abc import Iterator, Mapping

import msgspec

from streams.panes import Closed

__all__ = ["Merged", "SourceId", "SourceSeen", "SourceTable", "merged_watermark"]

SourceId = tuple[int, str]
"""Sending partition and topic."""


class SourceSeen(msgspec.Struct, array_like=True):
    """The newest mark of one source."""

    epoch: int
    watermark: int | None
    idle: bool
    closed: Closed


class Merged(msgspec.Struct, array_like=True):
    """What one merge partition has come to."""

    watermark: int | None = None
    evicted_until: int = -1
    """Windows that end by this moment may be gone, epoch ms."""
    unwindowed: int = 0
    """Amounts that came for windows already gone: 0, or sources were very far apart."""


def merged_watermark(sources: Mapping[SourceId, SourceSeen], expected: int, before: int | None) -> int | None:
    """Return the watermark of all sources together; it never falls below ``before``.

    >>> seen = {(0, "clicks"): SourceSeen(1, 70, False, Closed()), (1, "clicks"): SourceSeen(1, 50, True, Closed())}
    >>> merged_watermark(seen, 2, None), merged_watermark(seen, 3, None)
    (70, None)
    """
    if len(sources) < expected:
        return before
    active = [source.watermark for source in sources.values() if not source.idle]
    if None in active:
        return before
    known = [w for w in active if w is not None]
    if active:
        value = min(known)
    else:
        value = max((s.watermark for s in sources.values() if s.watermark is not None), default=-1)
    if value < 0:
        return before
    return value if before is None else max(value, before)


_pack = msgspec.msgpack.Encoder().encode
_source_id = msgspec.msgpack.Decoder(SourceId).decode
_seen = msgspec.msgpack.Decoder(SourceSeen).decode


class SourceTable:
    """The newest mark of every source."""

    def __init__(self) -> None:
        self.sources: dict[SourceId, SourceSeen] = {}
        self.epochs: dict[int, int] = {}
        """Newest epoch of each sending partition."""

    def put(self, raw_id: bytes, raw: bytes) -> None:
        """Take a durable change of one source."""
        source_id, seen = _source_id(raw_id), _seen(raw)
        self.sources[source_id] = seen
        self.epochs[source_id[0]] = max(seen.epoch, self.epochs.get(source_id[0], -1))

    @staticmethod
    def encode(changed: Mapping[SourceId, SourceSeen]) -> Iterator[tuple[bytes, bytes]]:
        """Yield the entries of changed sources."""
        for source_id, seen in changed.items():
            yield _pack(source_id), _pack(seen)

    def clear(self) -> None:
        """Forget all sources."""
        self.sources.clear()
        self.epochs.clear()
