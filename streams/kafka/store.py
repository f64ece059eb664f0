"""Local copies of a partition's state, so that a restart need not read the whole log.

A store is never the truth: it may be behind the state log (the rest is read
from there) but must never be ahead of it. Hence a group reaches the store only
after the broker acknowledged it, and in one atomic batch with its progress.
"""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
from rocksdict import AccessType, DbClosedError, Options, Rdict, WriteBatch

from streams.kafka.groups import Change, Progress

__all__ = ["DiskStore", "MemoryStore", "Store"]

_PROGRESS = b"\x00progress"
_decode_progress = msgspec.msgpack.Decoder(Progress).decode


class Store(Protocol):
    """Where a partition keeps its local copy."""

    def load(self) -> tuple[Progress, Iterator[tuple[bytes, bytes]]] | None:
        """Return the progress and all entries, or ``None`` when nothing is kept."""

    def write(self, changes: Sequence[Change], progress: Progress, *, replace: bool) -> None:
        """Apply one group and its progress atomically; ``replace`` forgets the rest first."""

    def set_aside(self) -> Path | None:
        """Forget the content, keeping it where an operator can look at it; return that place."""

    def close(self) -> None:
        """Release files."""


class MemoryStore:
    """Keeps nothing: every start reads the state log from its beginning."""

    def load(self) -> None:
        """Return ``None``."""

    def write(self, changes: Sequence[Change], progress: Progress, *, replace: bool) -> None:
        """Do nothing."""

    def set_aside(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class DiskStore:
    """One small RocksDB database per partition of a stage.

    Args:
        path: its folder, created when missing.

    A kill of the process loses nothing that was written (the operating system
    holds the write-ahead log); a power cut may lose the newest groups, which
    then come from the state log.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open()

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(8 * 2**20)  # the default holds 3 x 64 MB per partition
        options.set_max_write_buffer_number(2)
        options.set_max_background_jobs(2)
        options.set_keep_log_file_num(2)
        self._db = Rdict(str(self._path), options, access_type=AccessType.read_write())

    def load(self) -> tuple[Progress, Iterator[tuple[bytes, bytes]]] | None:
        """Return the progress and all entries, or ``None`` for a new database."""
        raw = self._db.get(_PROGRESS)
        if raw is None:
            return None
        return _decode_progress(raw), self._entries()

    def _entries(self) -> Iterator[tuple[bytes, bytes]]:
        for key, value in self._db.items():
            if key != _PROGRESS:
                yield key, value

    def write(self, changes: Sequence[Change], progress: Progress, *, replace: bool) -> None:
        """Apply one group and its progress in one write batch."""
        batch = WriteBatch(raw_mode=True)
        if replace:
            for key in list(self._db.keys()):
                batch.delete(key)
        for key, value in changes:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(_PROGRESS, msgspec.msgpack.encode(progress))
        self._db.write(batch)

    def set_aside(self) -> Path:
        """Move the database to ``<name>.set-aside-N`` and start an empty one."""
        self._db.close()
        number = 1
        while (place := self._path.with_name(f"{self._path.name}.set-aside-{number}")).exists():
            number += 1
        shutil.move(self._path, place)
        self._open()
        return place

    def close(self) -> None:
        """Flush and close the database; once is enough."""
        with contextlib.suppress(DbClosedError):
            self._db.close()
