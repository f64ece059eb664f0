"""What a merge partition shows: an immutable picture of its durable numbers.

Counters are cumulative over the whole input. The first campaigns that come
keep their name, the rest is shown as ``other``, for good: a counter that moved
from one label to another would look like a loss.

The rule easy to get wrong: who came first cannot be seen from the state, whose
entries come back in any order. So it is kept with each total.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from streams.counts import Counts, add, difference
from streams.packing import pack, unpacker
from streams.rolling import Scope

__all__ = ["DisplayedTotals", "View"]

OTHER = "other"
UNKNOWN = "unknown"


class Total(msgspec.Struct, array_like=True):
    """Cumulative counts of one campaign in one channel."""

    counts: Counts
    named: bool
    """It is shown under its own name."""


_key = msgspec.msgpack.Decoder(tuple[str, str]).decode
_total = unpacker(Total)


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

    def put(self, raw_key: bytes, raw: bytes) -> None:
        """Take the new durable total of a campaign in a channel."""
        key, total = _key(raw_key), _total(raw)
        name = OTHER
        if total.named:
            name = key[1] or UNKNOWN
            self._named.add(name)
        self.names[key] = name
        add(self._shown.setdefault((key[0], name), {}), difference(total.counts, self.exact.get(key, {})))
        self.exact[key] = total.counts

    def encode(self, changed: Mapping[tuple[str, str], Counts]) -> Iterator[tuple[bytes, bytes]]:
        """Yield the entries of changed totals; decides for new ones whether they keep their name."""
        named = set(self._named)
        for key, counts in changed.items():
            campaign = key[1] or UNKNOWN
            if key not in self.names and len(named) < self._most_named:
                named.add(campaign)
            known = self.names.get(key, campaign)
            yield pack(key), pack(Total(counts, known == campaign and campaign in named))

    def dump(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield every total as an entry."""
        return self.encode(self.exact)

    def picture(self) -> dict[tuple[str, str], Counts]:
        """Return a copy of the totals as shown."""
        return {key: dict(counts) for key, counts in self._shown.items()}
