"""A slice: some raw records of one partition, in offset order, handled as one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aiokafka import ConsumerRecord

__all__ = ["Slice", "cut"]


@dataclass(frozen=True, slots=True)
class Slice:
    """At most a slice's worth of records of one topic partition.

    ``generation`` counts the consumer's seeks: what was fetched before a seek
    must not be worked on after it.
    """

    topic: str
    partition: int
    generation: int
    records: Sequence[ConsumerRecord]

    @property
    def first(self) -> int:
        """Offset of the first record."""
        return int(self.records[0].offset)

    @property
    def last(self) -> int:
        """Offset of the last record."""
        return int(self.records[-1].offset)


def cut(
    topic: str, partition: int, generation: int, records: Sequence[ConsumerRecord], size: int
) -> Iterator[Slice]:
    """Yield ``records`` in slices of at most ``size``.

    >>> [len(s.records) for s in cut("clicks", 0, 1, [None] * 7, 3)]
    [3, 3, 1]
    """
    for start in range(0, len(records), size):
        yield Slice(topic, partition, generation, records[start : start + size])
