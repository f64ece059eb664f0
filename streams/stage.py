"""What a stage is: plain code that turns slices into steps; the runtime makes steps durable.

A *step* is all that one slice, or one tick of the clock, does to a partition:
outputs that must be acknowledged first, changes of the state with the source
offsets they cover, and outputs that may leave only once the changes are
durable.

The rule easy to get wrong: :meth:`Partition.take` and :meth:`Partition.tick`
must not touch the state. What a step changes becomes visible through
:meth:`Partition.apply` alone, which recovery uses in the same way.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Change", "Partition", "Record", "Row", "Send", "Stage", "Step"]

Change = tuple[bytes, bytes | None]
"""Key and new value of one entry of a state, ``None`` to delete it."""

Row = tuple[bytes | None, bytes | None]
"""Key and value of one output record."""


class Record(Protocol):
    """One raw input record, as the Kafka client delivers it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


@dataclass(slots=True)
class Send:
    """Records for one partition of one topic (contract name, without prefix)."""

    topic: str
    partition: int
    rows: Sequence[Row]


@dataclass(slots=True)
class Step:
    """What one slice or one tick does."""

    changes: list[Change] = field(default_factory=list)
    offsets: dict[str, int] | None = None
    """Next offset per source topic after this step; ``None`` when it took no records."""
    before: list[Send] = field(default_factory=list)
    """Outputs to be acknowledged before the changes."""
    after: list[Send] = field(default_factory=list)
    """Outputs that leave once the changes are durable."""
    done: Callable[[], None] | None = None
    """Called when all of it is acknowledged."""


class Partition(Protocol):
    """One partition of a stage: its state and its steps."""

    def apply(self, changes: Iterable[Change]) -> None:
        """Take the changes of whole steps, live or in recovery."""

    def dump(self) -> Iterable[tuple[bytes, bytes]]:
        """Yield every entry of the state."""

    def clear(self) -> None:
        """Become the empty state."""

    def opened(self, epoch: int, offsets: dict[str, int], now: float) -> None:
        """The partition is ours under this epoch: publish again what may not have left."""

    def closed(self) -> None:
        """The partition is no longer ours: take its numbers off display."""

    def take(self, topic: str, records: Sequence[Record], start: int, now: float) -> Step:
        """Return the step of one slice, which begins at offset ``start``.

        Offsets from ``start`` on that no record has are known to hold none (transaction markers).
        """

    def tick(self, now: float, caught_up: Callable[[str], bool]) -> Step | None:
        """Return what is due at monotonic time ``now``, seconds; ``None`` when nothing is.

        ``caught_up(topic)`` tells whether the source was read to the end of its log.
        """


class Stage(Protocol):
    """A stage of the flow: where it reads, where its state is kept, who does the work."""

    name: str
    sources: tuple[str, ...]
    state_topic: str

    def open(self, number: int) -> Partition:
        """Return the empty state of partition ``number``."""
