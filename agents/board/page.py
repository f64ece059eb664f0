"""What the live page shows, computed from one scrape of all workers and the one before.

Easy to get wrong: nothing is invented. A worker that does not answer takes its numbers with it and the page says so; a
ratio without a denominator is unknown; money of two currencies is never added; a rate is known only between two scrapes
that both have the series, so a partition that moves to another worker, or a restarted worker, never shows as a burst.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from streams.ratios import of_counts
from streams.scrape import Sample

__all__ = ["Channel", "LedgerLine", "Page", "Ratios", "Scrape", "Worker", "build", "events_rate", "state_of"]

PREFIX = "campaignwatch_"
OUTCOMES = ("accepted", "late", "duplicate", "conflict", "rejected", "absent")

_COUNTS = {PREFIX + name + "_total": name for name in ("impressions", "clicks", "orders")}
_MONEY = {PREFIX + name + "_total": name for name in ("spend", "revenue")}
_RATIOS = {PREFIX + "channel_ctr_ratio": "ctr", PREFIX + "channel_conversion_ratio": "conversion"}
_PRICES = {PREFIX + "channel_cpc": "cpc", PREFIX + "channel_cpa": "cpa", PREFIX + "channel_roas_ratio": "roas"}

MICROS = 1_000_000
MERGED_SOURCE = "panes"
"""The topic between the two steps: its watermark is that of all sources together."""

SINCE_START = "all"
"""Name of the window that holds everything counted so far; the others are the rolling windows of the gauges."""


class Ratios(msgspec.Struct):
    """Ratios of one window; ``None``, or no currency, is unknown (nothing to divide by, or money that is mixed)."""

    ctr: float | None = None
    conversion: float | None = None
    cpc: dict[str, float] = msgspec.field(default_factory=dict)
    cpa: dict[str, float] = msgspec.field(default_factory=dict)
    roas: dict[str, float] = msgspec.field(default_factory=dict)


class Channel(msgspec.Struct):
    """One row of the page."""

    channel: str
    impressions: int = 0
    clicks: int = 0
    orders: int = 0
    spend: dict[str, float] = msgspec.field(default_factory=dict)
    revenue: dict[str, float] = msgspec.field(default_factory=dict)
    ratios: dict[str, Ratios] = msgspec.field(default_factory=dict)
    clicks_per_second: float | None = None
    history: list[float | None] = msgspec.field(default_factory=list)
    """Clicks per second of the last scrapes, oldest first."""


class LedgerLine(msgspec.Struct):
    """Where the records of one topic went; ``unexplained`` other than 0 is a loss."""

    topic: str
    outcomes: dict[str, int]
    unexplained: int

    @property
    def records(self) -> int:
        """Return how many records were passed."""
        return sum(self.outcomes.values()) + self.unexplained


class Worker(msgspec.Struct):
    """One worker process and its state: ``healthy``, ``unhealthy``, ``down`` or (never seen yet) ``starting``."""

    name: str
    address: str
    state: str
    detail: str = ""
    events_per_second: float | None = None


class Page(msgspec.Struct):
    """All that the page shows at one moment."""

    time_ms: int
    demo: bool
    complete: bool
    """Whether every worker answered; else totals lack what the silent ones own."""
    workers: list[Worker]
    channels: list[Channel]
    total: Channel
    ledger: list[LedgerLine]
    watermark_ms: int | None = None
    """Event time up to which all sources have spoken."""
    final_ms: int | None = None
    """Windows that end by this event time are final."""
    waiting: int | None = None
    """Records that are known to wait."""
    stalled: list[str] = msgspec.field(default_factory=list)
    """Sources that hold back the others."""
    events_per_second: float | None = None
    history: list[float | None] = msgspec.field(default_factory=list)


@dataclass(slots=True)
class Scrape:
    """What the workers said at one moment; a worker that did not answer is missing from ``samples``."""

    at: float
    """Monotonic seconds."""
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    clicks: dict[tuple[str, ...], float] = field(default_factory=dict)
    """Clicks by channel and campaign, over all workers."""
    events: dict[str, float] = field(default_factory=dict)
    """Events of each worker."""

    def __post_init__(self) -> None:
        for worker, samples in self.samples.items():
            self.events[worker] = sum(s.value for s in samples if s.name == PREFIX + "events_total")
            for sample in samples:
                if sample.name == PREFIX + "clicks_total":
                    key = (sample.labels.get("channel", ""), sample.labels.get("campaign", ""))
                    self.clicks[key] = self.clicks.get(key, 0.0) + sample.value


def build(
    scrape: Scrape, before: Scrape | None, workers: list[Worker], *, now_ms: int, lateness_ms: int, demo: bool
) -> Page:
    """Return the page of a scrape."""
    everything = [sample for samples in scrape.samples.values() for sample in samples]
    channels = _channels(everything)
    rates = _click_rates(scrape, before)
    for channel in channels:
        channel.clicks_per_second = rates.get(channel.channel)
    watermark = _watermark(everything)
    return Page(
        time_ms=now_ms,
        demo=demo,
        complete=all(worker.name in scrape.samples for worker in workers),
        workers=workers,
        channels=channels,
        total=_total(channels),
        ledger=_ledger(everything),
        watermark_ms=watermark,
        final_ms=None if watermark is None else watermark - lateness_ms,
        waiting=_waiting(everything),
        stalled=_stalled(everything),
        events_per_second=_sum_known(worker.events_per_second for worker in workers),
    )


def events_rate(scrape: Scrape, before: Scrape | None, worker: str) -> float | None:
    """Return a worker's events per second between two scrapes, ``None`` if it was not there at both."""
    if before is None or worker not in before.events or worker not in scrape.events or scrape.at <= before.at:
        return None
    more = scrape.events[worker] - before.events[worker]
    return None if more < 0 else more / (scrape.at - before.at)


def state_of(*, answered: bool, healthy: bool, seen: bool) -> str:
    """Return the word for a worker's state.

    >>> state_of(answered=False, healthy=False, seen=False)
    'starting'
    """
    if answered:
        return "healthy" if healthy else "unhealthy"
    return "down" if seen else "starting"


def _channels(samples: Iterable[Sample]) -> list[Channel]:
    rows: dict[str, Channel] = {}
    for name, labels, value in samples:
        if name in _COUNTS:
            row = _row(rows, labels)
            setattr(row, _COUNTS[name], getattr(row, _COUNTS[name]) + round(value))
        elif name in _MONEY:
            money: dict[str, float] = getattr(_row(rows, labels), _MONEY[name])
            currency = labels.get("currency", "")
            money[currency] = money.get(currency, 0.0) + value
        elif name in _RATIOS:
            setattr(_window(rows, labels), _RATIOS[name], value)
        elif name in _PRICES:
            getattr(_window(rows, labels), _PRICES[name])[labels.get("currency", "")] = value
    for row in rows.values():
        row.ratios[SINCE_START] = _ratios(row)
    return sorted(rows.values(), key=lambda row: row.channel)


def _row(rows: dict[str, Channel], labels: Mapping[str, str]) -> Channel:
    channel = labels.get("channel", "")
    return rows.setdefault(channel, Channel(channel))


def _window(rows: dict[str, Channel], labels: Mapping[str, str]) -> Ratios:
    return _row(rows, labels).ratios.setdefault(labels.get("window", ""), Ratios())


def _total(channels: Iterable[Channel]) -> Channel:
    total = Channel("")
    for channel in channels:
        total.impressions += channel.impressions
        total.clicks += channel.clicks
        total.orders += channel.orders
        for mine, theirs in ((total.spend, channel.spend), (total.revenue, channel.revenue)):
            for currency, amount in theirs.items():
                mine[currency] = mine.get(currency, 0.0) + amount
    total.ratios[SINCE_START] = _ratios(total)
    total.clicks_per_second = _sum_known(channel.clicks_per_second for channel in channels)
    return total


def _ratios(row: Channel) -> Ratios:
    counts = {"impressions": row.impressions, "clicks": row.clicks, "orders": row.orders}
    for name, money in (("spend", row.spend), ("revenue", row.revenue)):
        counts.update({f"{name}:{currency}": round(amount * MICROS) for currency, amount in money.items()})
    ratios = Ratios(ctr=of_counts(counts).ctr, conversion=of_counts(counts).conversion_rate)
    for currency in row.spend:
        known = of_counts(counts, currency)
        for name in ("cpc", "cpa", "roas"):
            if (value := getattr(known, name)) is not None:
                getattr(ratios, name)[currency] = value
    return ratios


def _click_rates(scrape: Scrape, before: Scrape | None) -> dict[str, float]:
    if before is None or scrape.at <= before.at:
        return {}
    more: dict[str, float] = defaultdict(float)
    fallen = set()
    for (channel, campaign), value in scrape.clicks.items():
        earlier = before.clicks.get((channel, campaign))
        if earlier is None:
            continue
        more[channel] += value - earlier
        if value < earlier:
            fallen.add(channel)
    return {channel: value / (scrape.at - before.at) for channel, value in more.items() if channel not in fallen}


def _ledger(samples: Iterable[Sample]) -> list[LedgerLine]:
    lines: dict[str, LedgerLine] = {}
    for name, labels, value in samples:
        if name not in (PREFIX + "ledger_events", PREFIX + "ledger_unexplained"):
            continue
        topic = labels.get("topic", "")
        line = lines.setdefault(topic, LedgerLine(topic, dict.fromkeys(OUTCOMES, 0), 0))
        if name == PREFIX + "ledger_unexplained":
            line.unexplained += round(value)
        elif labels.get("outcome") in line.outcomes:
            line.outcomes[labels["outcome"]] += round(value)
    return [lines[topic] for topic in sorted(lines)]


def _watermark(samples: Iterable[Sample]) -> int | None:
    name = PREFIX + "watermark_timestamp_seconds"
    known = [(s.labels.get("topic") == MERGED_SOURCE, round(s.value * 1_000)) for s in samples if s.name == name]
    merged = [ms for of_all, ms in known if of_all]
    return min(merged or [ms for _of_all, ms in known], default=None)


def _waiting(samples: Iterable[Sample]) -> int | None:
    name = PREFIX + "lag_records"
    known = [round(s.value) for s in samples if s.name == name and s.labels.get("topic") != MERGED_SOURCE]
    return sum(known) if known else None


def _stalled(samples: Iterable[Sample]) -> list[str]:
    stalled = [s.labels for s in samples if s.name == PREFIX + "stalled" and s.value]
    return sorted(f"{labels.get('topic')}[{labels.get('partition')}]" for labels in stalled)


def _sum_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
