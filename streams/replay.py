"""Read recorded events from files, in order, with the key each record needs and the pace it was recorded at.

A line is sent as it stands: what is wrong with it is for the flow to say, as a dead letter. Only lines of nothing but
white space are left out, because they hold no record.

Easy to get wrong: the key must be what a JSON reader sees as ``user_id``, not what looks like it in the text, or a
user's events end up in two partitions; so each line is parsed, by a decoder that skips all other fields.
"""

import gzip
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from io import FileIO

import msgspec

__all__ = ["KEYED_BY", "MAX_LINE_BYTES", "Line", "Pace", "ReplayError", "Source", "keyed"]

KEYED_BY = {"clicks": "user_id", "orders": "user_id", "social": "user_id", "campaigns": "campaign_id"}
"""The topics that may be replayed, and the field that is their key."""

MAX_LINE_BYTES = 900_000
"""What fits into one record under a broker's default limits; a longer line is no event."""

READ_BYTES = 1 << 20

STANDARD_INPUT = "-"
GZIP_MAGIC = b"\x1f\x8b"


class ReplayError(Exception):
    """A file that cannot be replayed, in one line."""


class _Event(msgspec.Struct):
    user_id: object = None
    campaign_id: object = None
    event_time: object = None


class Line(msgspec.Struct, frozen=True):
    """One record to send."""

    key: bytes | None
    value: bytes
    time_ms: int | None
    """Event time, if the line has one that can be read."""


_decode = msgspec.json.Decoder(_Event).decode


def keyed(topic: str, value: bytes) -> Line:
    """Return the record for one line of a file.

    >>> keyed("clicks", b'{"user_id":"u1","event_time":5}')
    Line(key=b'u1', value=b'{"user_id":"u1","event_time":5}', time_ms=5)
    >>> keyed("clicks", b"no JSON").key is None
    True
    """
    try:
        event = _decode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Line(None, value, None)
    key = event.campaign_id if topic == "campaigns" else event.user_id
    time = event.event_time
    return Line(
        key.encode() if isinstance(key, str) and key else None,
        value,
        time if type(time) is int else _of_text(time) if isinstance(time, str) else None,
    )


def _of_text(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
        return int(moment.timestamp() * 1_000) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


class Source:
    """The lines of one file; gzip is unpacked, ``-`` is standard input.

    Raises:
        ReplayError: when it cannot be opened, or, while reading, when it is damaged.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.line = 0
        """Lines read so far, empty ones included."""
        self.total_bytes = 0
        """Size on disk; 0 when it is not known."""
        self.done_bytes = 0
        """How far into the file reading has come, for a progress bar."""
        try:
            # Unbuffered: a pipe gives what is there, and a thread that waits in it holds no lock when the process ends.
            self._raw = FileIO(0 if name == STANDARD_INPUT else name, "rb", closefd=name != STANDARD_INPUT)
            self.total_bytes = os.fstat(self._raw.fileno()).st_size if self._raw.seekable() else 0
            packed = self._raw.seekable() and self._raw.read(2) == GZIP_MAGIC
            if self._raw.seekable():
                self._raw.seek(0)
        except OSError as error:
            raise ReplayError(f"{name}: cannot be read ({error.strerror}); give a file of JSON lines, or -") from None
        packed = packed or name.endswith(".gz")
        self._read = gzip.GzipFile(fileobj=self._raw).read1 if packed else self._raw.read

    def batches(self) -> Iterator[list[bytes]]:
        """Yield the lines in lots of about a megabyte, without their ends and without empty ones.

        What comes through a pipe is yielded as it arrives.
        """
        rest = b""
        while chunk := self._chunk():
            if not self.line and not rest and chunk.startswith(GZIP_MAGIC):
                raise ReplayError(f"{self.name}: is packed; unpack it on the way, as in: gzip -dc FILE | …")
            *lines, rest = (rest + chunk).split(b"\n")
            if lot := self._clean(lines):
                yield lot
            if len(rest) > MAX_LINE_BYTES:
                self._clean([rest])
        if lot := self._clean([rest] if rest else []):
            yield lot

    def close(self) -> None:
        """Close the file; standard input stays open."""
        self._raw.close()

    def _chunk(self) -> bytes:
        try:
            chunk = self._read(READ_BYTES) or b""
        except (OSError, EOFError, zlib.error) as error:
            what = str(error) or type(error).__name__
            raise ReplayError(f"{self.name}: is damaged after line {self.line} ({what}); use a whole copy") from None
        if self.total_bytes:
            self.done_bytes = self._raw.tell()
        return chunk

    def _clean(self, lines: list[bytes]) -> list[bytes]:
        cleaned = [stripped for line in lines if (stripped := line.strip())]
        if cleaned and max(map(len, cleaned)) > MAX_LINE_BYTES:
            first = next(number for number, line in enumerate(lines) if len(line.strip()) > MAX_LINE_BYTES)
            raise ReplayError(
                f"{self.name}:{self.line + first + 1}: is longer than {MAX_LINE_BYTES:,} bytes, more than a broker "
                "takes in one record; write one event per line"
            )
        self.line += len(lines)
        return cleaned


@dataclass(slots=True)
class Pace:
    """When a line is due if event time runs ``speed`` times as fast as the clock.

    The first line is due at once; what lies in the past of the newest line so far is due with it.

    >>> pace = Pace(speed=60)
    >>> pace.due(1_000_000, 50.0), pace.due(1_060_000, 50.0), pace.due(None, 50.0), pace.due(1_000_500, 50.0)
    (50.0, 51.0, 51.0, 51.0)
    """

    speed: float
    _first_ms: int | None = None
    _began: float = 0.0
    _due: float | None = None

    def due(self, time_ms: int | None, now: float) -> float:
        """Return the time of the clock (seconds) at which the line is due; ``now`` starts the run."""
        if self._due is None:
            self._due = now
        if time_ms is not None:
            if self._first_ms is None:
                self._first_ms, self._began = time_ms, now
            self._due = max(self._due, self._began + (time_ms - self._first_ms) / 1_000 / self.speed)
        return self._due
