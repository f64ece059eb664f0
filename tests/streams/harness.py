"""Drives the stages in memory, without Kafka: what a step sends lands in lists, what it changes in a list of groups.

A crash is what it is for a real worker: a new partition object, made from the groups that were committed, under a newer
epoch. Easy to get wrong: a step that crashes before its commit may have sent its outputs already, and what it was to
send after the commit may have left in part.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, cast

import msgspec

from schemas.windows import CampaignWindow
from streams.ingest import IngestPartition, IngestStage
from streams.merge import MergePartition, MergeStage
from streams.metrics import Metrics
from streams.reference import Reference
from streams.settings import Settings
from streams.shown import MergedView
from streams.stage import Change, Partition, Row, Send, Stage, Step

__all__ = ["BASE", "Crash", "FakeMetrics", "Flow", "Owned", "Raw", "ad", "order", "settings", "social"]

BASE = 1_574_553_600_000
"""2019-11-24T00:00:00Z, the start of a window of every level."""

RECEIVED = BASE + 20 * 86_400_000
"""Kafka's time of every record: late enough that no event lies in its future."""


@dataclass(slots=True)
class Raw:
    """A record as a Kafka client delivers it."""

    offset: int
    value: bytes | None
    key: bytes | None = None
    timestamp: int = RECEIVED


def settings(**changes: Any) -> Settings:
    """Return settings for tests: two partitions, a hash key."""
    given = {"partitions": 2, "hash_key": "tests-only-hash-key", "idle_after_ms": 3_000}
    return Settings(**{**given, **changes})


def _event(kind: str, number: object, second: float, user: str, rest: dict[str, object]) -> bytes:
    event = {"event_id": str(number), "type": kind, "event_time": BASE + int(second * 1_000), "user_id": user, **rest}
    return msgspec.json.encode(event)


def ad(number: object, second: float, user: str = "u1", *, kind: str = "click", **rest: object) -> bytes:
    """Return an event of ``clicks``, ``second`` seconds after the base."""
    return _event(kind, number, second, user, {"campaign_id": "c1", "channel": "search", **rest})


def order(number: object, second: float, user: str = "u1", *, kind: str = "order", **rest: object) -> bytes:
    """Return an event of ``orders``."""
    given = {"order_id": f"o{number}", "revenue_micros": 1_000_000, "currency": "EUR", "channel": "search"}
    return _event(kind, number, second, user, {**given, **rest})


def social(number: object, second: float, user: str = "u1", *, kind: str = "like", **rest: object) -> bytes:
    """Return an event of ``social``."""
    return _event(kind, number, second, user, {"platform": "p", "channel": "search", **rest})


class FakeMetrics:
    """Remembers what the stages told it."""

    def __init__(self) -> None:
        self.events: Counter[tuple[str, str, str]] = Counter()
        self.dead_letters: Counter[tuple[str, str]] = Counter()
        self.misrouted: Counter[str] = Counter()
        self.mismatches: Counter[str] = Counter()
        self.ledgers: dict[tuple[str, int], tuple[dict[str, int], int]] = {}
        self.watermarks: dict[tuple[str, int], int | None] = {}
        self.views: dict[int, MergedView] = {}
        self.unwindowed: dict[int, int] = {}
        self.lags: dict[tuple[str, int], int] = {}
        self.freshness: list[float] = []
        self.stages: Counter[str] = Counter()
        self.groups: Counter[str] = Counter()
        self.slices: list[tuple[str, int]] = []

    def count_events(self, topic: str, events: Mapping[tuple[str, str], int]) -> None:
        self.events.update({(topic, *key): count for key, count in events.items()})

    def count_dead_letters(self, topic: str, reasons: Mapping[str, int]) -> None:
        self.dead_letters.update({(topic, reason): count for reason, count in reasons.items()})

    def count_misrouted(self, topic: str, count: int) -> None:
        self.misrouted[topic] += count

    def count_channel_mismatch(self, topic: str, count: int) -> None:
        self.mismatches[topic] += count

    def observe_stage(self, stage: str, seconds: float) -> None:
        self.stages[stage] += 1

    def observe_slice(self, topic: str, records: int) -> None:
        self.slices.append((topic, records))

    def count_state_group(self, stage: str) -> None:
        self.groups[stage] += 1

    def observe_event_to_metric(self, seconds: Iterable[float]) -> None:
        self.freshness += seconds

    def show_ledger(self, topic: str, partition: int, outcomes: Mapping[str, int], unexplained: int) -> None:
        self.ledgers[topic, partition] = dict(outcomes), unexplained

    def show_watermark(self, topic: str, partition: int, watermark_ms: int | None) -> None:
        self.watermarks[topic, partition] = watermark_ms

    def show_lag(self, topic: str, partition: int, records: int) -> None:
        self.lags[topic, partition] = records

    def forget_source(self, topic: str, partition: int) -> None:
        self.ledgers.pop((topic, partition), None)
        self.watermarks.pop((topic, partition), None)

    def set_merged(self, partition: int, view: MergedView | None) -> None:
        if view is None:
            self.views.pop(partition, None)
        else:
            self.views[partition] = view

    def show_unwindowed(self, partition: int, amount: int) -> None:
        self.unwindowed[partition] = amount


class Crash(Enum):
    """Where in a step the process ends."""

    AT_ONCE = auto()
    BEFORE_COMMIT = auto()
    """Its outputs have left."""
    AFTER_COMMIT = auto()
    """What follows the commit has not left."""
    HALFWAY = auto()
    """Half of it has left."""
    AT_THE_END = auto()
    """All has left, nobody noted it."""


class Owned:
    """One partition of a stage, its log of committed groups, and the object that works on it now."""

    def __init__(self, flow: "Flow", stage: Stage, number: int) -> None:
        self.number = number
        self.groups: list[list[Change]] = []
        self.offsets: dict[str, int] = {}
        self.epoch = 0
        self._flow = flow
        self._stage = stage
        self.partition = self._recovered()
        self._open()

    @property
    def ingest(self) -> IngestPartition:
        """The partition, of the first stage."""
        assert isinstance(self.partition, IngestPartition)
        return self.partition

    @property
    def merge(self) -> MergePartition:
        """The partition, of the second stage."""
        assert isinstance(self.partition, MergePartition)
        return self.partition

    def _recovered(self) -> Partition:
        partition = self._stage.open(self.number)
        for group in self.groups:
            partition.apply(group)
        return partition

    def _open(self) -> None:
        self.epoch += 1
        starts = dict.fromkeys(self._stage.sources, 0)
        self.partition.opened(self.epoch, {**starts, **self.offsets}, self._flow.now)

    def take_over(self, *, from_disk: bool = False) -> Partition:
        """Start again from what was committed, under a new epoch; return the old object, now a zombie.

        ``from_disk``: from a local copy, whose entries come sorted by key, not from the log of groups.
        """
        zombie = self.partition
        if from_disk:
            self.groups = [sorted(zombie.dump())]
        self.partition = self._recovered()
        assert dict(self.partition.dump()) == dict(zombie.dump())
        self._open()
        return zombie

    def read(self, topic: str, most: int = 1_000_000, *, crash: Crash | None = None) -> int:
        """Work on the next slice of a source; return how many records it had."""
        start = self.offsets.get(topic, 0)
        records = self._flow.topics[topic, self.number][start : start + most]
        if records:
            self.perform(self.partition.take(topic, records, start, self._flow.now), crash=crash)
        return len(records)

    def tick(self, *, crash: Crash | None = None) -> bool:
        """Do what is due; tell whether anything was."""
        step = self.partition.tick(self._flow.now, self._caught_up)
        if step is None:
            return False
        self.perform(step, crash=crash)
        return True

    def perform(self, step: Step, *, crash: Crash | None = None) -> None:
        """Make a step durable in the order of ``streams/kafka/lane.py``, as far as it gets."""
        if crash is Crash.AT_ONCE:
            return
        self._flow.deliver(step.before)
        if crash is Crash.BEFORE_COMMIT:
            return
        if step.changes or step.offsets:
            self.groups.append(list(step.changes))
            self.partition.apply(step.changes)
            self.offsets.update(step.offsets or {})
        if crash is Crash.AFTER_COMMIT:
            return
        self._flow.deliver(step.after[: len(step.after) // 2] if crash is Crash.HALFWAY else step.after)
        if step.done and crash is None:
            step.done()

    def _caught_up(self, topic: str) -> bool:
        return self.offsets.get(topic, 0) >= len(self._flow.topics[topic, self.number])


class Flow:
    """Both stages with all their partitions, and the topics between."""

    def __init__(self, given: Settings | None = None, *, reference: Reference | None = None) -> None:
        self.settings = given or settings()
        self.metrics = FakeMetrics()
        self.now = 1_000.0
        self.topics: defaultdict[tuple[str, int], list[Raw]] = defaultdict(list)
        metrics, numbers = cast(Metrics, self.metrics), range(self.settings.partitions)
        ingest = IngestStage(
            self.settings, metrics=metrics, reference=reference or Reference(), partition_of=lambda key: key[0] % 2
        )
        self.ingest = [Owned(self, ingest, number) for number in numbers]
        self.merge = [Owned(self, MergeStage(self.settings, metrics=metrics), number) for number in numbers]

    def send(self, topic: str, *values: bytes | None, partition: int = 0) -> None:
        """Append records to a topic."""
        self.deliver([Send(topic, partition, [(None, value) for value in values])])

    def deliver(self, sends: Iterable[Send]) -> None:
        """Append what a stage sends to the topics."""
        for send in sends:
            log = self.topics[send.topic, send.partition]
            log += [Raw(len(log) + n, value, key) for n, (key, value) in enumerate(send.rows)]

    def rows(self, topic: str) -> list[Row]:
        """Return what a topic holds, partition by partition."""
        return [(raw.key, raw.value) for (name, _), log in self.topics.items() if name == topic for raw in log]

    def decoded(self, topic: str) -> list[Any]:
        """Return the JSON records of a topic."""
        return [msgspec.json.decode(value or b"") for _, value in self.rows(topic)]

    def published(self) -> Iterator[CampaignWindow]:
        """Yield the windows in the order of their publication (within a partition)."""
        for key, value in self.rows("campaign.windows"):
            window = msgspec.json.decode(value or b"", type=CampaignWindow)
            assert key == window.id.encode()
            yield window

    def step(self, most: int = 1_000_000) -> bool:
        """Let every partition read at most ``most`` records of each source and do what is due."""
        moved = False
        for owned in (*self.ingest, *self.merge):
            for topic in owned._stage.sources:
                moved |= bool(owned.read(topic, most))
            while owned.tick():
                moved = True
        return moved

    def drain(self, most: int = 1_000_000) -> None:
        """Let time pass until nothing moves any more: every source is idle, every window said."""
        quiet = 0.0
        while quiet < self.settings.idle_after_ms / 1_000 + 2:
            self.now += 1.0
            quiet = 0.0 if self.step(most) else quiet + 1
