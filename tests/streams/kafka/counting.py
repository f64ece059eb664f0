"""A stage for tests of what is around stages: it counts the records of each source."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from streams.stage import Change, Partition, Record, Step

__all__ = ["Counting", "CountingStage"]


class Counting:
    """A partition that counts the records of each topic; a record ``fail`` makes it fail."""

    def __init__(self, number: int) -> None:
        self.counts: dict[bytes, bytes] = {}
        self.calls: list[str] = []

    def apply(self, changes: Iterable[Change]) -> None:
        self.counts.update({key: value for key, value in changes if value is not None})

    def dump(self) -> Iterator[tuple[bytes, bytes]]:
        yield from self.counts.items()

    def clear(self) -> None:
        self.counts.clear()

    def opened(self, epoch: int, offsets: dict[str, int], now: float) -> None:
        self.calls.append(f"opened {sorted(offsets.items())}")

    def closed(self) -> None:
        self.calls.append("closed")

    def take(self, topic: str, records: Sequence[Record], start: int, now: float) -> Step:
        if records[0].value == b"fail":
            raise RuntimeError("bad record")
        key = topic.encode()
        total = int(self.counts.get(key, b"0")) + len(records)
        return Step([(key, b"%d" % total)], {topic: records[-1].offset + 1})

    def tick(self, now: float, caught_up: Callable[[str], bool]) -> Step | None:
        return None


class CountingStage:
    """Two sources, one state."""

    name = "count"
    sources: tuple[str, ...] = ("left", "right")
    state_topic = "state"

    def __init__(self) -> None:
        self.opened: dict[int, Counting] = {}

    def open(self, number: int) -> Partition:
        return self.opened.setdefault(number, Counting(number))
