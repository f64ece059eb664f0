"""Every metric of a worker, declared once; the only module that knows Prometheus' client library.

Numbers of three kinds: what a worker did since it started; where its sources stand; the totals of the merge partitions
it owns. The latter two belong to partitions: each scrape reads their newest picture, and they go when the partition
goes. So the sum over all workers is the truth, wherever a partition lives.

Easy to get wrong: a scrape runs in a thread of its own. What it reads is replaced as a whole, never changed in place;
and the hot path calls once per slice, never once per event.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from threading import Lock

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from schemas.reasons import TYPES, UNKNOWN_TYPE, RejectReason
from streams.scrape import CONTENT_TYPE
from streams.shown import MergedView, Shown
from streams.standing import Standing

__all__ = ["MergedView", "Metrics"]

NAMESPACE = "campaignwatch"
OPENMETRICS = "application/openmetrics-text"
REASONS = frozenset(map(str, RejectReason))

FRESHNESS_BUCKETS = (0.1, 0.25, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10, 15, 30, 60, 300, 3_600)
"""Seconds from Kafka's time of a record to the metric. It takes one to three; the rest is to see how bad it is."""
STAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
SLICE_BUCKETS = (1, 10, 50, 100, 250, 500, 1_000, 2_000, 5_000, 10_000, 50_000)

_PLACE = ("channel", "campaign")
_SOURCE = ("topic", "partition")

_COUNTERS = {
    "impressions": ("Impressions counted.", _PLACE),
    "clicks": ("Clicks counted.", _PLACE),
    "pageviews": ("Page views counted.", _PLACE),
    "orders": ("Orders counted, at the channel and campaign they carry.", _PLACE),
    "refunds": ("Refunds counted.", _PLACE),
    "spend": ("Advertising cost, in units of the currency.", (*_PLACE, "currency")),
    "revenue": ("Revenue of orders, gross of refunds, in units of the currency.", (*_PLACE, "currency")),
    "refund": ("Money paid back, in units of the currency.", (*_PLACE, "currency")),
    "interactions": ("Social interactions counted.", (*_PLACE, "type")),
    "unwindowed": ("Counts that came for windows already evicted.", ("partition",)),
}
"""Of the merge partitions that this worker owns."""

_RATIOS = {
    "ctr_ratio": ("Clicks per impression, rolling.", ("window",)),
    "conversion_ratio": ("Orders per click, rolling.", ("window",)),
    "cpc": ("Cost per click, rolling, in units of the currency.", ("window", "currency")),
    "cpa": ("Cost per order, rolling, in units of the currency.", ("window", "currency")),
    "roas_ratio": ("Revenue per unit of spend in the same currency, rolling.", ("window", "currency")),
}

_GAUGES = {
    **{f"channel_{name}": (text, ("channel", *labels)) for name, (text, labels) in _RATIOS.items()},
    **{f"campaign_{name}": (text, (*_PLACE, *labels)) for name, (text, labels) in _RATIOS.items()},
    "unnamed_values": ("Label values shown as `other` (currencies: left out), for there are too many.", ("label",)),
    "watermark_timestamp_seconds": ("Event time up to which all has come.", _SOURCE),
    "lag_records": ("Records of the source known to wait.", _SOURCE),
    "stalled": ("1 while the source holds back the others.", _SOURCE),
    "ledger_events": ("Records that the state covers, by outcome.", ("topic", "outcome")),
    "ledger_unexplained": ("Records without outcome, or counted twice. Anything but 0 is a fault.", ("topic",)),
}
"""Of the partitions that this worker owns."""


class _Owned(Collector):
    """What belongs to the partitions of this worker, read anew at each scrape."""

    def __init__(self, shown: Shown, standing: Standing) -> None:
        self._shown = shown
        self._standing = standing
        self._lock = Lock()

    def collect(self) -> Iterable[Metric]:
        with self._lock:  # scrapes may overlap
            counters = {
                name: CounterMetricFamily(f"{NAMESPACE}_{name}", text, labels=labels)
                for name, (text, labels) in _COUNTERS.items()
            }
            gauges = {
                name: GaugeMetricFamily(f"{NAMESPACE}_{name}", text, labels=labels)
                for name, (text, labels) in _GAUGES.items()
            }
            for name, labels, value in self._shown.counters():
                counters[name].add_metric(labels, value)
            for name, labels, value in chain(self._shown.gauges(), self._standing.gauges()):
                gauges[name].add_metric(labels, value)
            return [*counters.values(), *gauges.values()]


class Metrics:
    """The metrics of one worker.

    Args:
        named_campaigns: campaigns that keep their name; a further bound on what the views name themselves.

    >>> metrics = Metrics()
    >>> metrics.count_events("clicks", {("click", "accepted"): 3})
    >>> metrics.registry.get_sample_value(
    ...     "campaignwatch_events_total", {"topic": "clicks", "type": "click", "outcome": "accepted"})
    3.0
    """

    def __init__(self, named_campaigns: int = 100) -> None:
        disable_created_metrics()  # they double the series, and nobody reads them
        self.registry = CollectorRegistry()
        counter = partial(Counter, namespace=NAMESPACE, registry=self.registry)
        histogram = partial(Histogram, namespace=NAMESPACE, registry=self.registry)
        self._events = counter("events", "Records handled by this worker.", ["topic", "type", "outcome"])
        self._dead_letters = counter("dead_letters", "Dead letters written.", ["topic", "reason"])
        self._misrouted = counter(
            "misrouted", "Sampled records not in the partition of their key; see the producers' partitioner.", ["topic"]
        )
        self._mismatches = counter("channel_mismatch", "Events whose channel is not their campaign's.", ["topic"])
        self._groups = counter("state_groups", "State groups written.", ["stage"])
        self._slices = histogram("slice_records", "Records per slice.", ["topic"], buckets=SLICE_BUCKETS)
        self._stages = histogram("stage_seconds", "Time per step of a slice.", ["stage"], buckets=STAGE_BUCKETS)
        self._freshness = histogram(
            "event_to_metric_seconds", "From Kafka's time of a record to the metric.", buckets=FRESHNESS_BUCKETS
        )
        Gauge(
            "build_info", "Version at work; always 1.", ["version"], namespace=NAMESPACE, registry=self.registry
        ).labels(_version()).set(1)
        self._shown = Shown(named_campaigns)
        self._standing = Standing()
        self.registry.register(_Owned(self._shown, self._standing))
        ProcessCollector(registry=self.registry)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return the page and its content type: OpenMetrics if ``accept`` names it, else text format 0.0.4."""
        if OPENMETRICS in accept:
            return openmetrics.generate_latest(self.registry), openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(self.registry), CONTENT_TYPE

    # -- what this worker did ------------------------------------------------

    def count_events(self, topic: str, events: Mapping[tuple[str, str], int]) -> None:
        """Count the records of a slice by (type, outcome)."""
        types = TYPES.get(topic, ())
        for (kind, outcome), count in events.items():
            self._events.labels(topic, kind if kind in types else UNKNOWN_TYPE, outcome).inc(count)

    def count_dead_letters(self, topic: str, reasons: Mapping[str, int]) -> None:
        """Count the dead letters of a slice by reason."""
        for reason, count in reasons.items():
            self._dead_letters.labels(topic, reason if reason in REASONS else UNKNOWN_TYPE).inc(count)

    def count_misrouted(self, topic: str, count: int) -> None:
        """Count sampled records that lie in another partition than their key says."""
        self._misrouted.labels(topic).inc(count)

    def count_channel_mismatch(self, topic: str, count: int) -> None:
        """Count events whose own channel is not that of their campaign."""
        self._mismatches.labels(topic).inc(count)

    def count_state_group(self, stage: str) -> None:
        """Count one state group as written."""
        self._groups.labels(stage).inc()

    def observe_slice(self, topic: str, records: int) -> None:
        """Take note of the size of a slice."""
        self._slices.labels(topic).observe(records)

    def observe_stage(self, stage: str, seconds: float) -> None:
        """Take note of the time that one step of a slice took."""
        self._stages.labels(stage).observe(seconds)

    def observe_event_to_metric(self, seconds: Iterable[float]) -> None:
        """Take note of how old records were when their numbers appeared; clocks may differ, so never below 0."""
        for value in seconds:
            self._freshness.observe(max(0.0, value))

    # -- where the sources stand ---------------------------------------------

    def show_watermark(self, topic: str, partition: int, watermark_ms: int | None) -> None:
        """Show the watermark of a source (epoch ms), or that it has none."""
        if watermark_ms is None:
            self._standing.watermarks.pop((topic, partition), None)
        else:
            self._standing.watermarks[topic, partition] = watermark_ms

    def show_lag(self, topic: str, partition: int, records: int) -> None:
        """Show how many records of a source wait."""
        self._standing.lags[topic, partition] = records

    def show_stalled(self, topic: str, partition: int, stalled: bool) -> None:
        """Show whether a source holds back the others."""
        self._standing.stalled[topic, partition] = stalled

    def show_ledger(self, topic: str, partition: int, outcomes: Mapping[str, int], unexplained: int) -> None:
        """Show the ledger of a source."""
        self._standing.ledgers[topic, partition] = dict(outcomes), unexplained

    def forget_source(self, topic: str, partition: int) -> None:
        """Take a source off display: another worker owns it now."""
        self._standing.forget(topic, partition)

    # -- merged state --------------------------------------------------------

    def set_merged(self, partition: int, view: MergedView | None) -> None:
        """Show the newest numbers of a merge partition; ``None`` takes all of them off display."""
        if view is None:
            self._shown.views.pop(partition, None)
            self._shown.unwindowed.pop(partition, None)
        else:
            self._shown.views[partition] = view

    def show_unwindowed(self, partition: int, amount: int) -> None:
        """Show the cumulative amount of counts that came for windows already evicted."""
        self._shown.unwindowed[partition] = amount


def _version() -> str:
    try:
        return version("campaignwatch")
    except PackageNotFoundError:
        return UNKNOWN_TYPE
