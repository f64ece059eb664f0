"""A partition's state as we hold it: in memory and on local disk, following the state log.

The log is the truth; memory and disk are shortcuts. So whatever is doubtful
about them is set aside, loudly, and read from the log again.

The rule easy to get wrong: a state that the log does not continue looks like
any other. Identity, end and beginning of the log are compared before a record
is fed, and what does not fit is noticed while they are.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import structlog
from aiokafka import TopicPartition

from streams.kafka.groups import Change, Fence, ForeignRecord, LogReplay, Part, Progress, decode_record
from streams.kafka.store import Store

__all__ = ["Replica", "State", "StateLogError"]

log = structlog.get_logger(__name__)


class StateLogError(Exception):
    """The state log holds something that no owner wrote, or has lost its beginning."""


class State(Protocol):
    """What a stage keeps for one partition, as entries of bytes."""

    def apply(self, changes: Iterable[Change]) -> None:
        """Take the changes of whole groups; must not fail on what the stage itself wrote."""

    def dump(self) -> Iterable[tuple[bytes, bytes]]:
        """Yield every entry: applied to an empty state they give this state."""

    def clear(self) -> None:
        """Become the empty state."""


class Replica:
    """State and local copy of one partition of one stage.

    Args:
        tp: the state log's topic and partition.
        state: the stage's state, empty.
        store: its local copy.
    """

    def __init__(self, tp: TopicPartition, state: State, store: Store) -> None:
        self.tp = tp
        self.state = state
        self.owned = False
        self.loaded = False
        self._store = store
        self._replay = LogReplay(Progress(), self._applied)

    @property
    def progress(self) -> Progress:
        """How far the state has come."""
        return self._replay.progress

    @property
    def offsets(self) -> dict[str, int]:
        """Next source offsets; a topic not yet read is absent."""
        return self.progress.offsets

    def load(self) -> None:
        """Fill memory from the local copy, once."""
        if self.loaded:
            return
        self._restart(Progress())
        kept = self._store.load()
        if kept is not None:
            progress, entries = kept
            try:
                self.state.apply(entries)
                self._replay = LogReplay(progress, self._applied)
            except Exception as error:  # whatever it is, the log has the state
                self.start_over(repr(error))
        self.loaded = True

    def start_over(self, reason: str) -> None:
        """Forget the state; the local copy is set aside, loudly."""
        place = self._store.set_aside()
        log.error(
            "local state cannot be used: starting from the log",
            topic=self.tp.topic,
            partition=self.tp.partition,
            reason=reason,
            kept=str(place) if place else None,
        )
        self._restart(Progress())

    def check_start(self, start: int, value: bytes | None, fence: int) -> None:
        """Look at the log's first record: is the state that we hold a state of this log?

        Raises:
            StateLogError: the log was cut, not by us, and the state with it.
        """
        record = self._decode(start, value)
        known, log_id = self.progress.log_id, record.names(start)
        if known not in ("", log_id):
            self.start_over(f"the log is {log_id}, the state is of {known}")
        elif self.progress.position > fence != self.progress.epoch:
            self.start_over(f"the log ends before {fence}, the state has read to {self.progress.position}")
        if self.progress.position < start:
            if not (isinstance(record, Part) and record.snapshot and record.index == 0):
                raise StateLogError(
                    f"{self.tp.topic}[{self.tp.partition}] begins at offset {start} without a snapshot: something "
                    "else than campaignwatch deleted records of it. Set its retention.ms to -1 and its "
                    "cleanup.policy to delete; to start clean, delete the topics state.* and panes together"
                )
            self._restart(Progress(position=start))

    def begin(self) -> int:
        """Prepare to be fed; return the log offset that is wanted next."""
        self._replay.rewind()
        return self.progress.position

    def feed(self, offset: int, value: bytes | None) -> None:
        """Take one record of the log while recovering."""
        try:
            self._replay.feed(offset, value)
        except ForeignRecord as error:
            raise self._foreign(offset, error) from error

    @property
    def misfits(self) -> bool:
        """Whether the log tells another story than the local copy that we began with."""
        return bool(self._replay.unfitting) and self._replay.began > 0

    def forget(self) -> None:
        """Drop memory and close the local copy: somebody else owns the partition now."""
        self.owned = self.loaded = False
        self._restart(Progress())
        self._store.close()

    def _restart(self, progress: Progress) -> None:
        self.state.clear()
        self._replay = LogReplay(progress, self._applied)

    def _applied(self, changes: Sequence[Change], replace: bool) -> None:
        try:
            if replace:
                self.state.clear()
            self.state.apply(changes)
            self._store.write(changes, self.progress, replace=replace)
        except BaseException:
            self.owned = self.loaded = False  # memory may be ahead of the disk, or half changed
            raise

    def _decode(self, offset: int, value: bytes | None) -> Fence | Part:
        try:
            return decode_record(value)
        except ForeignRecord as error:
            raise self._foreign(offset, error) from error

    def _foreign(self, offset: int, error: ForeignRecord) -> StateLogError:
        return StateLogError(
            f"{self.tp.topic}[{self.tp.partition}] offset {offset} holds no state record ({error}): another program "
            "or version writes to this topic. Use another topic prefix; to start clean, delete the topics state.* "
            "and panes together"
        )

    def _where(self) -> str:
        return f"{self.tp.topic}[{self.tp.partition}] epoch {self.progress.epoch}"
