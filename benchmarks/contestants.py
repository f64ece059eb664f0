"""The two contestants: how each is started, timed and checked.

Both are timed by the same rule: each event makes one record in Kafka (here the enriched record, there the change of the
table in its changelog), and the stamps of these records say when. The first part of a run is warm-up and not counted.

Easy to get wrong: a fast wrong answer is worth nothing. After each run the sums are compared with the events that went
in, per campaign, and a difference fails the benchmark.
"""

import asyncio
import os
import resource
import secrets
import subprocess
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from streams.clock import monotonic
from streams.kafka.broker import free_port
from streams.kafka.reader import true_ends
from tests.integration.reading import read_topic
from tests.waiting import wait_for

__all__ = ["WARM_UP", "Arena", "Ours", "Plain", "Run", "WrongCountError", "steady_rate"]

WARM_UP = 0.15
"""Share of a run's events that is not timed: connections, caches, the first fetches."""

POLL_SECONDS = 2.0
START_SECONDS = 90.0
END_SECONDS = 20.0
WINDOWS_SECONDS = 60.0
SLOWEST_RATE = 1_000
"""Events per second below which a run of ours is given up."""

ROOT = Path(__file__).parent.parent


class WrongCountError(Exception):
    """A contestant's sums are not those of the events that went in."""


@dataclass(frozen=True, slots=True)
class Arena:
    """Where a run happens: broker, topics, files, and the campaigns of the events in each input partition."""

    bootstrap: str
    prefix: str
    folder: Path
    campaigns: Sequence[Sequence[str]]

    @property
    def events(self) -> int:
        """Number of events in the input."""
        return sum(map(len, self.campaigns))


@dataclass(frozen=True, slots=True)
class Run:
    """One run: what was timed and what was counted.

    ``cpu_us`` is the process's processor time per event, start included: it says more than the rate when others use the
    machine. ``windows_after`` is how many seconds after the last event the last window was complete.
    """

    events: int
    rate: float
    cpu_us: float
    counts: dict[str, int] = field(repr=False)
    windows_after: float | None = None


def steady_rate(stamps_ms: Sequence[int]) -> tuple[int, float]:
    """Return how many events were timed and their number per second.

    >>> steady_rate([0, 0, 0] + [1_000 + 10 * n for n in range(17)])
    (17, 106.25)
    """
    stamps = sorted(stamps_ms)
    first = int(len(stamps) * WARM_UP)
    timed = len(stamps) - first
    return timed, timed * 1_000 / max(1, stamps[-1] - stamps[first])


class Contestant(ABC):
    """A process that reads the arena's ``clicks`` from the start; subclasses say which and what it must find."""

    name: str
    output: str
    """Topic with one record per event, without prefix."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.folder = arena.folder / f"{self.name.split()[0]}-{arena.prefix}{secrets.token_hex(2)}"
        self.folder.mkdir(parents=True)
        self.log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command line after the interpreter."""

    def environment(self) -> dict[str, str]:
        """Return the variables it needs."""
        return {}

    def start(self) -> None:
        """Start the process."""
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, *self.command()],
                env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment()},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.folder,
            )

    def stop(self) -> float:
        """End the process, gently, then hard; return the processor seconds it used."""
        process, self._process = self._process, None
        if process is None:
            return 0.0
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def written(self) -> int:
        """Return how many events are out; raises when the process has ended."""
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"{self.name} ended by itself:\n{self.log.read_text()[-3_000:]}")
        return self._span(self.output)

    def wait(self, events: int, seconds: float) -> None:
        """Wait until ``events`` are out, or ``seconds`` have passed since the first was."""
        wait_for(self.written, START_SECONDS, f"{self.name} begins", every=POLL_SECONDS)
        deadline = monotonic() + seconds
        wait_for(
            lambda: self.written() >= events or monotonic() > deadline, 2 * seconds + 10, self.name, every=POLL_SECONDS
        )

    def _span(self, topic: str) -> int:
        return asyncio.run(_log_length(self.arena.bootstrap, self.arena.prefix + topic))

    def _records(self, topic: str) -> list[Any]:
        return read_topic(self.arena.bootstrap, self.arena.prefix + topic)


class Ours(Contestant):
    """One ``campaignwatch worker``: the whole flow, with its local state on disk."""

    name = "campaignwatch"
    output = "clicks.enriched"

    def command(self) -> list[str]:
        """Return the command of a worker."""
        return ["-m", "agents.cli.main", "worker"]

    def environment(self) -> dict[str, str]:
        """Return the worker's settings; what is not here has its default."""
        return {
            "CAMPAIGNWATCH_BROKER": self.arena.bootstrap,
            "CAMPAIGNWATCH_TOPIC_PREFIX": self.arena.prefix,
            "CAMPAIGNWATCH_HASH_KEY": secrets.token_hex(16),
            "CAMPAIGNWATCH_STATE_DIR": str(self.folder / "state"),
            "CAMPAIGNWATCH_METRICS_PORT": str(free_port()),
        }

    def run(self) -> Run:
        """Take every event of the arena, to the last window."""
        events = self.arena.events
        self.start()
        try:
            self.wait(events, max(60.0, events / SLOWEST_RATE))
            at, counts = wait_for(self._complete_at, WINDOWS_SECONDS, "windows complete", every=POLL_SECONDS)
        finally:
            cpu = self.stop()
        stamps = [record.timestamp for record in self._records(self.output)]
        if len(stamps) != events:
            raise WrongCountError(f"{self.name}: {len(stamps)} enriched records of {events} events")
        timed, rate = steady_rate(stamps)
        return Run(timed, rate, cpu * 1e6 / events, counts, (at - max(stamps)) / 1_000)

    def _complete_at(self) -> tuple[int, dict[str, int]] | None:
        """Return when the day's windows first held what they must, and what that is; ``None`` while they do not."""
        expected = Counter(campaign for part in self.arena.campaigns for campaign in part)
        newest: dict[str, dict[str, Any]] = {}
        changed: dict[str, int] = {}
        for record in self._records("campaign.windows"):
            window = msgspec.json.decode(record.value)
            if (window["scope"], window["level"]) != ("campaign", "1d"):
                continue
            before = newest.get(window["id"])
            if before is None or _total(before) != _total(window):
                changed[window["id"]] = record.timestamp
            newest[window["id"]] = window
        counts: Counter[str] = Counter()
        for window in newest.values():
            counts[window["campaign_id"]] += _total(window)
        return (max(changed.values()), dict(counts)) if counts == expected else None


class Plain(Contestant):
    """Faust as its guide shows it."""

    name = "plain Faust"

    def __init__(self, arena: Arena) -> None:
        super().__init__(arena)
        self.group = f"plain-{secrets.token_hex(4)}"
        self.output = f"{self.group}-per_campaign-changelog"

    def command(self) -> list[str]:
        """Return the command of the application of the guide."""
        arena = self.arena
        topic = f"{arena.prefix}clicks"
        module = "benchmarks.plain_faust"
        return ["-m", module, arena.bootstrap, topic, arena.prefix + self.group, str(len(arena.campaigns))]

    def run(self, seconds: float) -> Run:
        """Count events of the arena for some time, or all of them."""
        self.start()
        try:
            self.wait(self.arena.events, seconds)
        finally:
            cpu = self.stop()
        records = self._records(self.output)
        counts = self._checked(records)
        timed, rate = steady_rate([record.timestamp for record in records])
        return Run(timed, rate, cpu * 1e6 / len(records), counts)

    def _checked(self, records: Sequence[Any]) -> dict[str, int]:
        """Return what the table counted: exactly the first events of each partition, or it raises."""
        done = Counter(record.partition for record in records)
        expected: Counter[str] = Counter()
        for partition, count in done.items():
            expected.update(self.arena.campaigns[partition][:count])
        found: Counter[str] = Counter()
        for record in records:  # one table for all partitions: each partition's log has readings of the same sums
            campaign, count = msgspec.json.decode(record.key), msgspec.json.decode(record.value)
            found[campaign] = max(count, found[campaign])
        if found != expected:
            raise WrongCountError(f"{self.name}: {found.total()} counted, {expected.total()} events read")
        return dict(found)


async def _log_length(bootstrap: str, topic: str) -> int:
    """Return the sum of a topic's log ends, 0 when it does not exist."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        found = next((t for t in await admin.describe_topics() if t["topic"] == topic), None)
    finally:
        await admin.close()
    if found is None:
        return 0
    ends = await true_ends(bootstrap, [TopicPartition(topic, p["partition"]) for p in found["partitions"]])
    return sum(ends.values())


def _total(window: dict[str, Any]) -> int:
    return int(window["impressions"] + window["clicks"] + window["pageviews"])
