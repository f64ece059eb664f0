"""Where the sources stand that a worker owns: watermark, lag, stalled or not, and the ledger.

All of it belongs to a partition and goes with it. A number left behind by a former owner would be added to the new
owner's.

Easy to get wrong: what is unexplained is added up without its sign. A loss in one partition must not be made up for by
a surplus in another.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

from streams.shown import Row

__all__ = ["Standing"]

_Source = tuple[str, int]
"""Topic and partition."""


class Standing:
    """The newest numbers of each source.

    >>> standing = Standing()
    >>> standing.ledgers["clicks", 0] = ({"accepted": 7}, 2)
    >>> standing.ledgers["clicks", 1] = ({"accepted": 1}, -2)
    >>> list(standing.gauges())
    [('ledger_events', ('clicks', 'accepted'), 8), ('ledger_unexplained', ('clicks',), 4)]
    """

    def __init__(self) -> None:
        self.watermarks: dict[_Source, int] = {}
        """Epoch milliseconds."""
        self.lags: dict[_Source, int] = {}
        self.stalled: dict[_Source, bool] = {}
        self.ledgers: dict[_Source, tuple[Mapping[str, int], int]] = {}
        """Counts by outcome, and what they leave unexplained."""

    def forget(self, topic: str, partition: int) -> None:
        """Take a source off display."""
        for numbers in (self.watermarks, self.lags, self.stalled, self.ledgers):
            numbers.pop((topic, partition), None)

    def gauges(self) -> Iterator[Row]:
        """Yield all numbers as rows."""
        for (topic, partition), watermark in self.watermarks.copy().items():
            yield "watermark_timestamp_seconds", (topic, str(partition)), watermark / 1_000
        for (topic, partition), records in self.lags.copy().items():
            yield "lag_records", (topic, str(partition)), records
        for (topic, partition), stalled in self.stalled.copy().items():
            yield "stalled", (topic, str(partition)), stalled
        yield from self._ledger()

    def _ledger(self) -> Iterator[Row]:
        by_outcome: Counter[tuple[str, str]] = Counter()
        unexplained: Counter[str] = Counter()
        for (topic, _), (outcomes, gap) in self.ledgers.copy().items():
            for outcome, count in outcomes.items():
                by_outcome[topic, outcome] += count
            unexplained[topic] += abs(gap)
        for labels, count in by_outcome.items():
            yield "ledger_events", labels, count
        for topic, count in unexplained.items():
            yield "ledger_unexplained", (topic,), count
