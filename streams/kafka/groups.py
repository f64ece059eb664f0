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

from collections.abc import Callable, Iterable, Sequence

import msgspec

__all__ = [
    "PART_BYTES",
    "Change",
    "Fence",
    "ForeignRecord",
    "LogGap",
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
"""Most bytes of changes in one part: a change of any size is cut, and three parts fit a broker's
default 1 MB request."""


class ForeignRecord(ValueError):
    """Something that is no state record lies in the log."""


class LogGap(Exception):
    """The next record is not the one that follows: the log was truncated while we read it."""


class Progress(msgspec.Struct, array_like=True):
    """How far a state has come: what a marker, a snapshot and the local disk remember."""

    log_id: str = ""
    """Random identity of the state log: the nonce of the fence at offset 0."""
    epoch: int = -1
    """Log offset of the fence that is in force."""
    seq: int = 0
    """Number of groups applied."""
    offsets: dict[str, int] = {}
    """Next offset to read of each source topic."""
    position: int = 0
    """Next log offset to read; everything before it is in the state."""
    log_bytes: int = 0
    """Bytes of log records since the last snapshot."""
    snapshot_bytes: int = 0
    """Bytes of the last snapshot."""


class Fence(msgspec.Struct, array_like=True, tag="F"):
    """An owner's claim. Its own log offset is the epoch of what it writes afterwards."""

    log_id: str
    """The log that the owner's local copy is of, "" when it has none."""
    owner: str
    nonce: str = ""
    """Random: in the first record of a log it becomes the log's identity. ``log_id`` would not do:
    a stale owner may be the first to write into a log that was made anew."""

    def names(self, offset: int) -> str:
        """Return the identity of the log in which this fence lies at ``offset``."""
        return self.log_id if offset else self.nonce


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
    data: bytes
    """A piece of the encoded list of changes."""

    def names(self, _offset: int) -> str:
        """Return the identity of the log in which this part lies."""
        return self.log_id


_encode = msgspec.msgpack.Encoder().encode
_decode: Callable[[bytes], Fence | Part] = msgspec.msgpack.Decoder(Fence | Part).decode
_decode_changes = msgspec.msgpack.Decoder(list[Change]).decode


def encode_fence(fence: Fence) -> bytes:
    """Return the record value of a fence."""
    return _encode(fence)


def decode_record(value: bytes | None) -> Fence | Part:
    """Return what a state-log record holds; raises :class:`ForeignRecord` on anything else."""
    try:
        return _decode(value or b"")
    except (msgspec.MsgspecError, ValueError) as error:  # bad UTF-8 in a text is a plain UnicodeDecodeError
        raise ForeignRecord(str(error)) from error


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
    data = memoryview(_encode(changes if isinstance(changes, list) else list(changes)))
    count = -(-len(data) // PART_BYTES)
    return [
        _encode(
            Part(
                epoch=progress.epoch,
                seq=progress.seq + 1,
                index=index,
                count=count,
                log_id=progress.log_id,
                snapshot=snapshot,
                before=progress.offsets,
                after=after,
                data=data[index * PART_BYTES : (index + 1) * PART_BYTES],  # type: ignore[arg-type]
            )
        )
        for index in range(count)
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
        """Parts and groups that did not count, as is normal after a crash."""
        self.unfitting = 0
        """Groups that only another history explains: what we started from is not of this log."""
        self.began = progress.seq
        """Groups that were in the state already."""
        self._apply = apply
        self.rewind()

    def rewind(self) -> None:
        """Expect the record at ``progress.position`` next: reading starts again there."""
        self._half: list[Part] = []
        self._half_bytes = 0
        self._next = self.progress.position

    def feed(self, offset: int, value: bytes | None) -> None:
        """Take the record at ``offset``.

        Raises:
            LogGap: it is not the next one.
            ForeignRecord: it is no state record.
        """
        if offset != self._next:
            raise LogGap(f"offset {offset} follows {self._next - 1}")
        record = decode_record(value)
        progress = self.progress
        size = len(value or b"")
        if isinstance(record, Fence):
            self._half = []
            progress.log_id = progress.log_id or record.names(offset)
            progress.epoch = offset
            progress.log_bytes += size
        else:
            self._take(record, size)
        self._next = offset + 1
        if not self._half:
            progress.position = offset + 1

    def written(self, changes: Sequence[Change] | None, after: dict[str, int], parts: Sequence[bytes]) -> None:
        """Take a group of our own that lies in the log where we expected it.

        ``changes`` is ``None`` for a snapshot, which the state already equals.
        """
        progress = self.progress
        size = sum(map(len, parts))
        progress.seq += 1
        progress.offsets = after
        progress.position = self._next = progress.position + len(parts)
        if changes is None:
            progress.log_bytes, progress.snapshot_bytes = 0, size
        else:
            progress.log_bytes += size
        self._apply(changes or (), False)

    def _take(self, part: Part, size: int) -> None:
        self.progress.log_bytes += size
        if part.index == 0:
            self._half, self._half_bytes = [], 0
        half = self._half
        if half and _same_group(half[0], part) and part.index < len(half):
            self.ignored += 1  # the producer sent a batch again whose acknowledgement was lost
            return
        if len(half) != part.index or (half and not _same_group(half[0], part)):
            self._half = []  # what this part belongs to is not whole
            self.ignored += 1
            return
        half.append(part)
        self._half_bytes += size
        if len(half) == part.count:
            self._half = []
            self._finish(half)

    def _finish(self, parts: list[Part]) -> None:
        marker = parts[-1]
        progress = self.progress
        if not self._counts(marker):
            self.ignored += 1
            return
        try:
            changes = _decode_changes(b"".join([part.data for part in parts]))
        except (msgspec.MsgspecError, ValueError) as error:
            raise ForeignRecord(str(error)) from error
        progress.seq = marker.seq
        progress.offsets = dict(marker.after)
        progress.position = self._next + 1
        if marker.snapshot:
            progress.log_id, progress.epoch = marker.log_id, marker.epoch
            progress.log_bytes, progress.snapshot_bytes = 0, self._half_bytes
        self._apply(changes, marker.snapshot)

    def _counts(self, marker: Part) -> bool:
        progress = self.progress
        if progress.epoch < 0:  # a truncated log begins with a snapshot, its fence is gone
            return marker.snapshot
        if marker.epoch < progress.epoch:
            return False  # of an owner that had lost the partition
        if marker.epoch == progress.epoch and marker.seq <= progress.seq:
            return False  # repeated
        fits = marker.epoch == progress.epoch and marker.seq == progress.seq + 1 and marker.before == progress.offsets
        self.unfitting += not fits
        return fits


def _same_group(first: Part, part: Part) -> bool:
    return (first.epoch, first.seq, first.count) == (part.epoch, part.seq, part.count)
