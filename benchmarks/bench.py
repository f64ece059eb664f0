"""Events per second of one worker for the whole flow, Kafka to Kafka, beside plain Faust on the same events.

One broker, one set of events, several rounds; in each round both contestants read the same topic from its start, one
after the other, in turns. What is compared was measured in the same run on the same machine; numbers of different
runs are not comparable.

Easy to get wrong: the broker shares the machine with the contestant, so the rate is that of both together.
"""

import argparse
import asyncio
import logging
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from benchmarks.contestants import Arena, Ours, Plain, Run
from benchmarks.events import Shape, campaign_of, reference_rows, rows
from benchmarks.worker_profile import profile_worker
from streams.clock import monotonic, now_ms
from streams.kafka.admin import ensure_topics
from streams.kafka.broker import EmbeddedBroker
from streams.kafka.produce import KeyedWriter, partition_of
from streams.settings import Settings
from tests.brokers import ApacheBroker, BrokerMissingError

__all__ = ["AIM_RATE", "AIM_TIMES", "Prepared", "fill", "main", "prepare", "run_rounds"]

AIM_RATE = 50_000
AIM_TIMES = 15

WRITE_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Prepared:
    """The events of a run, and the campaign of each by partition, in the order of the log."""

    shape: Shape
    rows: Sequence[tuple[bytes, bytes]]
    campaigns: Sequence[Sequence[str]]

    @property
    def mean_bytes(self) -> int:
        """Mean size of an event."""
        return sum(len(value) for _, value in self.rows) // len(self.rows)


def prepare(shape: Shape, partitions: int) -> Prepared:
    """Make the events, ending now."""
    made = list(rows(shape, now_ms() - shape.span_ms))
    campaigns: list[list[str]] = [[] for _ in range(partitions)]
    for key, value in made:
        campaigns[partition_of(key, partitions)].append(campaign_of(value))
    return Prepared(shape, made, campaigns)


async def fill(bootstrap: str, settings: Settings, prepared: Prepared) -> None:
    """Make the topics and write campaigns and events."""
    await ensure_topics(bootstrap, settings)
    async with KeyedWriter(bootstrap) as writer:
        await writer.write(settings.topic("campaigns"), reference_rows(prepared.shape))
        for start in range(0, len(prepared.rows), WRITE_ROWS):
            await writer.write(settings.topic("clicks"), prepared.rows[start : start + WRITE_ROWS])


def arena(bootstrap: str, prepared: Prepared, folder: Path, name: str) -> Arena:
    """Return a fresh place with all events in it."""
    settings = Settings(broker=bootstrap, topic_prefix=f"{name}.", partitions=len(prepared.campaigns))
    asyncio.run(fill(bootstrap, settings, prepared))
    return Arena(bootstrap, settings.topic_prefix, folder, prepared.campaigns)


def run_rounds(
    bootstrap: str, prepared: Prepared, folder: Path, *, rounds: int, plain_seconds: float
) -> tuple[list[Run], list[Run]]:
    """Let both run in turns; return the runs of ours and of plain Faust."""
    ours: list[Run] = []
    plain: list[Run] = []
    for number in range(rounds):
        place = arena(bootstrap, prepared, folder, f"bench{number}")
        turns = ["ours", "plain"] if number % 2 == 0 else ["plain", "ours"]
        for turn in turns:
            if turn == "ours":
                run = Ours(place).run()
                ours.append(run)
                tail = f", windows complete {run.windows_after:.1f} s later"
            else:
                run = Plain(place).run(plain_seconds)
                plain.append(run)
                tail = ""
            what = f"{run.rate:9,.0f} events/s over {run.events:,} events, {run.cpu_us:.0f} µs of processor time each"
            print(f"  round {number + 1}: {turn:5s} {what}{tail}", flush=True)
    return ours, plain


def start_broker(kind: str) -> EmbeddedBroker | ApacheBroker:
    """Return a running broker: ``apache``, ``embedded``, or ``auto`` for the first that can be had."""
    if kind != "embedded":
        try:
            return ApacheBroker().start()
        except BrokerMissingError as missing:
            if kind == "apache":
                raise
            print(f"  {missing}: the embedded broker takes its place")
    return EmbeddedBroker(port=0).start()


def machine() -> str:
    """Return one line on the machine, without its name."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    busy = f", load {os.getloadavg()[0]:.1f} before the run"
    return f"{os.cpu_count()} cores, {model}, {platform.system()}, Python {platform.python_version()}{busy}"


def spread(runs: Sequence[Run]) -> str:
    """Return median and range of the rates."""
    rates = [run.rate for run in runs]
    cpu = median(run.cpu_us for run in runs)
    between = f"{min(rates):,.0f} to {max(rates):,.0f}"
    return f"{median(rates):9,.0f} events/s  ({between}; {cpu:.0f} µs of processor time each)"


def report(ours: Sequence[Run], plain: Sequence[Run]) -> str:
    """Return the result in a few lines."""
    rate = median(run.rate for run in ours)
    times = rate / median(run.rate for run in plain)
    met = "met" if rate >= AIM_RATE and times >= AIM_TIMES else "missed"
    return "\n".join([
        f"campaignwatch, one worker, whole flow  {spread(ours)}",
        f"plain Faust, one table                 {spread(plain)}",
        f"{times:.1f} times plain Faust; aim {AIM_RATE:,}/s and {AIM_TIMES} times: {met}",
    ])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and print what it found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=Shape().events, help="events per round (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of both (default %(default)s)")
    parser.add_argument("--plain-seconds", type=float, default=20.0, help="time for plain Faust (default %(default)s)")
    parser.add_argument("--broker", choices=["auto", "apache", "embedded"], default="auto", help="(%(default)s)")
    parser.add_argument("--no-profile", action="store_true", help="leave out the profiled run")
    args = parser.parse_args(argv)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a new topic's first writes find no leader: it retries
    print(machine())
    prepared = prepare(replace(Shape(), events=args.events), Settings().partitions)
    shape = prepared.shape
    print(
        f"{shape.events:,} events of {prepared.mean_bytes} bytes, {shape.users:,} users, {shape.campaigns} campaigns, "
        f"{shape.channels} channels, {shape.pace:,} per second of event time, {len(prepared.campaigns)} partitions"
    )
    folder = Path(tempfile.mkdtemp(prefix="campaignwatch-bench-"))
    broker = start_broker(args.broker)
    try:
        print(f"broker: {type(broker).__name__}", flush=True)
        began = monotonic()
        ours, plain = run_rounds(
            broker.bootstrap, prepared, folder, rounds=args.rounds, plain_seconds=args.plain_seconds
        )
        print(report(ours, plain), flush=True)
        if not args.no_profile:
            print(profile_worker(arena(broker.bootstrap, prepared, folder, "profile")))
        print(f"({monotonic() - began:.0f} s)")
    finally:
        broker.close() if isinstance(broker, ApacheBroker) else broker.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
