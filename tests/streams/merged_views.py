"""A picture of a merge partition for tests."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class FakeView:
    """Totals and rolling counts, given."""

    of_totals: Mapping[tuple[str, str], Mapping[str, int]] = field(default_factory=dict)
    of_rolling: Mapping[tuple[str, str, str], Mapping[str, Mapping[str, int]]] = field(default_factory=dict)

    def totals(self):
        """Return what was given."""
        return self.of_totals

    def rolling(self):
        """Return what was given."""
        return self.of_rolling


def large_view(campaigns: int) -> FakeView:
    """Return a view with all numbers in six channels."""
    counts = {"impressions": 4_000, "clicks": 400, "pageviews": 300, "orders": 40, "refunds": 1, "interactions:like": 9}
    counts |= {"spend:EUR": 200_000_000, "revenue:EUR": 900_000_000, "refund:EUR": 1_000_000}
    windows = dict.fromkeys(("1m", "5m", "1h", "24h"), counts)
    places = [(f"channel-{number % 6}", f"campaign-{number}") for number in range(campaigns)]
    rolling = {("campaign", *place): windows for place in places}
    rolling |= {("channel", f"channel-{number}", ""): windows for number in range(6)}
    return FakeView(dict.fromkeys(places, counts), rolling)
