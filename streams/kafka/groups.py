"""State groups: how the changes of one slice become records of a state log, and back.

A slice's changes count only as a whole. They are cut into *parts*; the last
part carries the marker. Reading a log back, a group counts if and only if

* all its parts are there, in order,
* its epoch is the epoch of the last fence before it in the log, and
* its marker continues the state: the next sequence number, and "before"
  offsets equal to the offsets reached so far.

The rule easy to get wrong: the epoch check is not optional. A group of an
owner that lost its partition may lie right behind the new owner's fence with a
fitting "before"; only its epoch tells that it must not count.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

__all__ = [
    "PART_BYTES",
    "Change",
    "Fence",
    "LogReplay",
    "Part",
    "Progress",
    "decode_record",
    "encode_fence",
    "encode_group",
]

Change = tuple[bytes, bytes | None]
"""One change of a state: key and new value, ``None`` to delete the key."""

PART_BYTES = 256 * 1024
"""A part is closed past this size, bytes: two of them fit a broker's default 1 MB request."""


class Progress(msgspec.Struct, array_like=True):
    """How far a state has come: what a marker, a snapshot and the local disk remember."""

    log_id: str = ""
    """Random identity of the state log, fixed by its first fence."""
    epoch: int = -1
    """Log offset of the fence that is in force."""
    seq: int = 0
    """Number of groups applied."""
    offsets: dict[str, int] = {}
    """Next offset to read of each source topic."""
    position: int = 0
    """Next log offset to read; everything before it is in the state."""


class Fence(msgspec.Struct, array_like=True, tag="F"):
    """An owner's claim. Its own log offset is the epoch of what it writes afterwards."""

    log_id: str
    owner: str


class Part(msgspec.Struct, array_like=True, tag="G"):
    """One of ``count`` pieces of a group. The last one ends it with ``after``."""

    epoch: int
    seq: int
    index: int
    count: int
    log_id: str
    snapshot: bool
    before: dict[str, int]
    after: dict[str, int]
    changes: list[Change]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Fence | Part).decode


def encode_fence(fence: Fence) -> bytes:
    """Return the record value of a fence."""
    return _encode(fence)


def decode_record(value: bytes) -> Fence | Part:
    """Return what a state-log record holds; raises ``msgspec.MsgspecError`` on foreign bytes."""
    return _decode(value)


def _chunks(changes: Iterable[Change]) -> Iterator[list[Change]]:
    chunk: list[Change] = []
    size = 0
    for change in changes:
        chunk.append(change)
        size += len(change[0]) + len(change[1] or b"") + 8
        if size >= PART_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def encode_group(
    changes: Iterable[Change],
    *,
    progress: Progress,
    after: dict[str, int],
    snapshot: bool = False,
) -> list[bytes]:
    """Return the record values of one group, in the order they must be written.

    Args:
        changes: all changes of the slice; for a snapshot, the whole state.
        progress: the state's progress before the group.
        after: next offset per source topic once the group is applied.
        snapshot: the group replaces the state instead of changing it.

    >>> parts = encode_group([(b"k", b"v")], progress=Progress("id", 7), after={"clicks": 3})
    >>> len(parts), decode_record(parts[0]).after
    (1, {'clicks': 3})
    """
    chunks = list(_chunks(changes)) or [[]]
    return [
        _encode(
            Part(
                epoch=progress.epoch,
                seq=progress.seq + 1,
                index=index,
                count=len(chunks),
                log_id=progress.log_id,
                snapshot=snapshot,
                before=progress.offsets,
                after=after,
                changes=chunk,
            )
        )
        for index, chunk in enumerate(chunks)
    ]


class LogReplay:
    """Turns log records, fed in offset order, into applied groups.

    Each call of :meth:`feed` is one synchronous step: if the caller is
    cancelled between two records, nothing is half applied.
    """

    def __init__(
        self,
        progress: Progress,
        apply: Callable[[Sequence[Change], bool], None],
    ) -> None:
        """Start after ``progress``; ``apply(changes, replace)`` is called for each whole group."""
        self.progress = progress
        self.ignored = 0
        self._apply = apply
        self._half: list[Part] = []

    def feed(self, offset: int, value: bytes) -> None:
        """Take the record at ``offset``."""
        record = _decode(value)
        if isinstance(record, Fence):
            self._half = []
            progress = self.progress
            progress.log_id = progress.log_id or record.log_id
            progress.epoch = offset
            progress.position = offset + 1
            return
        self._take(offset, record)
        if not self._half:
            self.progress.position = offset + 1

    def passed(self, parts: int) -> None:
        """Step over a group of our own that the state already holds (a snapshot of itself)."""
        self.progress.seq += 1
        self.progress.position += parts

    def _take(self, offset: int, part: Part) -> None:
        half = self._half
        if part.index == 0:
            half = self._half = []
        if len(half) != part.index or (half and not _same_group(half[0], part)):
            self._half = []  # a repeated or foreign part: what it belongs to is not whole
            self.ignored += 1
            return
        half.append(part)
        if len(half) == part.count:
            self._half = []
            self._finish(offset, half)

    def _finish(self, offset: int, parts: list[Part]) -> None:
        marker = parts[-1]
        progress = self.progress
        if not self._counts(marker):
            self.ignored += 1
            return
        progress.seq = marker.seq
        progress.offsets = dict(marker.after)
        progress.position = offset + 1
        if marker.snapshot:
            progress.log_id, progress.epoch = marker.log_id, marker.epoch
        self._apply([change for part in parts for change in part.changes], marker.snapshot)

    def _counts(self, marker: Part) -> bool:
        progress = self.progress
        if progress.epoch < 0:  # a truncated log begins with a snapshot, its fence is gone
            return marker.snapshot
        return (
            marker.epoch == progress.epoch
            and marker.seq == progress.seq + 1
            and marker.before == progress.offsets
        )


def _same_group(first: Part, part: Part) -> bool:
    return (first.epoch, first.seq, first.count) == (part.epoch, part.seq, part.count)
