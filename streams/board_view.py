"""What a merge partition shows: an immutable picture of its durable numbers.

Counters are cumulative over the whole input. The first campaigns that come
keep their name, the rest is shown as ``other``, for good: a counter that moved
from one label to another would look like a loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from streams.counts import Counts, add, difference
from streams.rolling import Scope

__all__ = ["DisplayedTotals", "View"]

OTHER = "other"
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class View:
    """A picture of one merge partition's numbers; nobody changes it any more."""

    totals_: Mapping[tuple[str, str], Counts]
    rolling_: Mapping[Scope, Mapping[str, Counts]]

    def totals(self) -> Mapping[tuple[str, str], Counts]:
        """Return cumulative counts by channel and shown campaign."""
        return self.totals_

    def rolling(self) -> Mapping[Scope, Mapping[str, Counts]]:
        """Return rolling counts by scope and rolling window."""
        return self.rolling_


class DisplayedTotals:
    """Totals under the names they are shown with."""

    def __init__(self, most_named: int) -> None:
        self._most_named = most_named
        self.clear()

    def clear(self) -> None:
        """Forget all totals."""
        self.exact: dict[tuple[str, str], Counts] = {}
        """Totals of every (channel, campaign)."""
        self.names: dict[tuple[str, str], str] = {}
        self._named: set[str] = set()
        self._shown: dict[tuple[str, str], Counts] = {}

    def put(self, key: tuple[str, str], counts: Counts) -> None:
        """Take the new durable total of a campaign in a channel."""
        shown = (key[0], self._name(key))
        add(self._shown.setdefault(shown, {}), difference(counts, self.exact.get(key, {})))
        self.exact[key] = counts

    def _name(self, key: tuple[str, str]) -> str:
        name = self.names.get(key)
        if name is None:
            campaign = key[1] or UNKNOWN
            if campaign in self._named or len(self._named) < self._most_named:
                self._named.add(campaign)
                name = campaign
            else:
                name = OTHER
            self.names[key] = name
        return name

    def picture(self) -> dict[tuple[str, str], Counts]:
        """Return a copy of the totals as shown."""
        return {key: dict(counts) for key, counts in self._shown.items()}
