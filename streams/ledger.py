"""The ledger of one source: every offset that was passed, by outcome.

``in`` is not a counter of ours: it is the span of source offsets between where
the state began and how far it has come. What the outcomes do not explain of it
is a loss, and is shown as such.
"""

import msgspec

__all__ = ["Ledger"]


class Ledger(msgspec.Struct, array_like=True):
    """Counts by outcome of one source.

    >>> Ledger(start=10, accepted=3, duplicate=1).unexplained(14)
    0
    """

    start: int
    """First offset that the state covers."""
    accepted: int = 0
    late: int = 0
    duplicate: int = 0
    conflict: int = 0
    rejected: int = 0
    absent: int = 0
    """Offsets at which the broker keeps no record: transaction markers."""

    def plus(self, counts: dict[str, int]) -> "Ledger":
        """Return a ledger that has ``counts`` by outcome more."""
        more = {outcome: getattr(self, outcome) + count for outcome, count in counts.items()}
        return msgspec.structs.replace(self, **more)

    def outcomes(self) -> dict[str, int]:
        """Return the counts by outcome."""
        return {name: getattr(self, name) for name in self.__struct_fields__[1:]}

    def unexplained(self, next_offset: int) -> int:
        """Return how many passed offsets have no outcome: 0, or something is wrong."""
        return next_offset - self.start - sum(self.outcomes().values())
