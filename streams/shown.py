"""What all merge partitions of a worker come to, as rows of metric, labels and value.

A channel and campaign may come under one name from several partitions, or because their own names were not kept. Their
counts are added *before* anything is divided: a ratio of sums, never a sum of ratios.

Easy to get wrong: names are kept by the first that comes, for as long as the process lives. A counter that moved from
one name to another would look like a loss here and a burst there.

Money is shown in units of its currency: micros / 1e6 as a double, the nearest one to the exact amount. It tells the
exact micro up to 2**33 units (8.5 billion).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from streams.counts import Counts, add, split
from streams.labels import OTHER, Bounded, clean
from streams.ratios import MICROS, Ratios, money_by_currency, of_counts

__all__ = ["MergedView", "Row", "Shown"]

MOST_CHANNELS = 100
"""Channels that keep their name: several times what the largest accounts run."""

MOST_CURRENCIES = 32
"""Currencies that are shown. The contract admits 17,576 codes; money in others is left out, for it cannot be added."""

PAIRS_PER_CAMPAIGN = 10
"""Pairs of channel and campaign shown for each campaign with a name: senders may put a campaign into any channel."""

Row = tuple[str, tuple[str, ...], float]
"""Metric, label values, value."""

_PLAIN = ("impressions", "clicks", "pageviews", "orders", "refunds")
_MONEY = ("spend", "revenue", "refund")
_RATIOS = {"ctr_ratio": "ctr", "conversion_ratio": "conversion_rate"}
_MONEY_RATIOS = {"cpc": "cpc", "cpa": "cpa", "roas_ratio": "roas"}


class MergedView(Protocol):
    """The numbers of one merge partition at one moment; nobody changes it any more."""

    def totals(self) -> Mapping[tuple[str, str], Mapping[str, int]]:
        """Return exact cumulative counts by channel and campaign."""

    def rolling(self) -> Mapping[tuple[str, str, str], Mapping[str, Mapping[str, int]]]:
        """Return counts by scope (``channel`` or ``campaign``), channel and campaign, then by rolling window."""


class Shown:
    """The newest view of each merge partition, added up under bounded names.

    Args:
        named_campaigns: campaigns that a merge partition names.
    """

    def __init__(self, named_campaigns: int) -> None:
        self.views: dict[int, MergedView] = {}
        self.unwindowed: dict[int, int] = {}
        self._channels: Bounded[str] = Bounded(MOST_CHANNELS)
        self._pairs: Bounded[tuple[str, str]] = Bounded(PAIRS_PER_CAMPAIGN * named_campaigns)
        self._currencies: Bounded[str] = Bounded(MOST_CURRENCIES)

    def counters(self) -> Iterator[Row]:
        """Yield cumulative numbers."""
        zeros = dict.fromkeys(_PLAIN, 0)
        for place, counts in self._totals().items():
            # A counter that starts at 0 is there before its first event: `increase` would miss that one else.
            for measure, value in {**zeros, **counts}.items():
                name, part = split(measure)
                if name in _PLAIN:
                    yield name, place, value
                elif name == "interactions":
                    yield name, (*place, part), value
                elif name in _MONEY and self._currencies.keeps(part):
                    yield name, (*place, part), value / MICROS
        for partition, amount in self.unwindowed.copy().items():
            yield "unwindowed", (str(partition),), amount

    def gauges(self) -> Iterator[Row]:
        """Yield rolling ratios that are known, and how many names were not kept since the last call."""
        for (scope, *labels), counts in self._rolling().items():
            spent = [*money_by_currency(counts, "spend")]
            ratios = of_counts(counts, spent[0] if spent else None)
            yield from _known(scope, _RATIOS, (*labels,), ratios)
            for currency in spent:
                if currency != ratios.currency:
                    ratios = of_counts(counts, currency)
                if self._currencies.keeps(currency):
                    yield from _known(scope, _MONEY_RATIOS, (*labels, currency), ratios)
        yield from self._unnamed("channel", self._channels)
        yield from self._unnamed("campaign", self._pairs)
        yield from self._unnamed("currency", self._currencies)

    def _totals(self) -> dict[tuple[str, str], Counts]:
        shown: dict[tuple[str, str], Counts] = {}
        for view in self.views.copy().values():
            for (channel, campaign), counts in view.totals().items():
                add(shown.setdefault(self._pair(channel, campaign), {}), counts)
        return shown

    def _rolling(self) -> dict[tuple[str, ...], Counts]:
        """Return rolling counts by scope, channel, campaign (not at channel scope) and window."""
        shown: dict[tuple[str, ...], Counts] = {}
        for view in self.views.copy().values():
            for (scope, channel, campaign), windows in view.rolling().items():
                names = (self._channel(channel),) if scope == "channel" else self._pair(channel, campaign)
                for window, counts in windows.items():
                    add(shown.setdefault((scope, *names, window), {}), counts)
        return shown

    def _channel(self, channel: str) -> str:
        name = clean(channel)
        return name if name == OTHER or self._channels.keeps(name) else OTHER

    def _pair(self, channel: str, campaign: str) -> tuple[str, str]:
        pair = self._channel(channel), clean(campaign)
        return pair if pair[1] == OTHER or self._pairs.keeps(pair) else (pair[0], OTHER)

    def _unnamed(self, label: str, values: Bounded[Any]) -> Iterator[Row]:
        yield "unnamed_values", (label,), len(values.refused)
        values.refused.clear()


def _known(scope: str, ratios: Mapping[str, str], labels: tuple[str, ...], values: Ratios) -> Iterator[Row]:
    for name, field in ratios.items():
        value: float | None = getattr(values, field)
        if value is not None:
            yield f"{scope}_{name}", labels, value
