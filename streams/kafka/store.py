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
import structlog
from rocksdict import AccessType, DbClosedError, Options, Rdict, WriteBatch

from streams.kafka.groups import Change, Progress

__all__ = ["DamagedCopy", "DiskStore", "MemoryStore", "Store"]

log = structlog.get_logger(__name__)

_PROGRESS = b"\x00progress"
_decode_progress = msgspec.msgpack.Decoder(Progress).decode


class DamagedCopy(Exception):
    """A local copy does not give back what was written."""


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
        try:
            self._db = self._connect()
        except Exception as error:  # rocksdict has no class for it
            if "lock" in str(error).lower() or not self._path.is_dir():
                raise
            self._move_aside(repr(error))
            self._db = self._connect()

    def _connect(self) -> Rdict:
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(8 * 2**20)  # the default holds 3 x 64 MB per partition
        options.set_max_write_buffer_number(2)
        options.set_max_background_jobs(2)
        options.set_keep_log_file_num(2)
        return Rdict(str(self._path), options, access_type=AccessType.read_write())

    def load(self) -> tuple[Progress, Iterator[tuple[bytes, bytes]]] | None:
        """Return the progress and all entries, or ``None`` for a new database.

        Reading the entries raises :class:`DamagedCopy` when the disk cannot give them all.
        """
        raw = self._db.get(_PROGRESS)
        if raw is None:
            return None
        try:
            return _decode_progress(raw), self._entries()
        except (msgspec.MsgspecError, ValueError) as error:
            self._db.close()
            self._move_aside(repr(error))
            self._db = self._connect()
            return None

    def _entries(self) -> Iterator[tuple[bytes, bytes]]:
        key: object = None
        for key, value in self._db.items():
            if key != _PROGRESS:
                yield key, value  # type: ignore[misc]  # raw mode: bytes
        last = self._db.iter()
        last.seek_to_last()  # iteration ends without an error at a damaged block
        if not last.valid() or last.key() != key:
            raise DamagedCopy(f"{self._path} cannot be read to its end")

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
        place = self._move_aside("not of this state log")
        self._db = self._connect()
        return place

    def _move_aside(self, reason: str) -> Path:
        number = 1
        while (place := self._path.with_name(f"{self._path.name}.set-aside-{number}")).exists():
            number += 1
        shutil.move(self._path, place)
        log.error("local copy set aside", path=str(self._path), kept=str(place), reason=reason)
        return place

    def close(self) -> None:
        """Flush and close the database; once is enough."""
        with contextlib.suppress(DbClosedError):
            self._db.close()
