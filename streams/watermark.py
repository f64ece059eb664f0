"""The watermark of one source: how far event time has surely come there.

A watermark is not the newest time seen: one absurd clock would then move it.
It rises to a time only when several different users have been seen beyond it.
It depends on nothing but the records of its own source in offset order, so a
replay decides the same as the live run did.

The rule easy to get wrong: users who are far ahead must not be forgotten while
they count, nor count forever. A candidate that the source has not caught up
with for ``MEMORY`` records is dropped.
"""

import msgspec

__all__ = ["MEMORY", "PATIENCE", "USERS", "Watermark"]

USERS = 4
"""Distinct users that must have been seen beyond a time: three bad clocks at once move nothing."""

PATIENCE = 64
"""Records beyond the watermark after which fewer users are enough: a source with
two active users must move too. A single user's stray record never gets that far."""

MEMORY = 1_000
"""Records after which a candidate that nobody caught up with is forgotten."""


class Watermark(msgspec.Struct, array_like=True):
    """Watermark of one source, epoch milliseconds; ``value`` is ``None`` before it is known.

    >>> mark = Watermark()
    >>> for offset, (user, time) in enumerate([("a", 10), ("b", 20), ("c", 9_999), ("d", 30)]):
    ...     mark.observe(user, time, offset)
    >>> mark.value
    10
    """

    value: int | None = None
    ahead: dict[str, tuple[int, int]] = {}
    """Users seen beyond the watermark: newest time and the offset where it was seen."""
    raises: int = 0
    """Records beyond the watermark since it last moved."""

    def observe(self, user: str, time_ms: int, offset: int) -> None:
        """Take one accepted record of the source, in offset order."""
        value = self.value
        if value is not None and time_ms <= value:
            return
        ahead = self.ahead
        known = ahead.get(user)
        if known is None or time_ms > known[0]:
            ahead[user] = (time_ms, offset)
        self.raises += 1
        if len(ahead) >= USERS or (self.raises >= PATIENCE and len(ahead) > 1):
            self._advance(offset)

    def _advance(self, offset: int) -> None:
        """Rise to the smallest candidate; the others stay candidates."""
        ahead, oldest = self.ahead, offset - MEMORY
        value, reached, forgotten = None, [], []
        for user, (time, seen) in ahead.items():  # one pass: this runs for nearly every record
            if seen < oldest:
                forgotten.append(user)
            elif value is None or time < value:
                value, reached = time, [user]
            elif time == value:
                reached.append(user)
        for user in forgotten:
            del ahead[user]
        if forgotten and len(ahead) < USERS:
            return
        for user in reached:
            del ahead[user]
        self.value = value
        self.raises = 0

    def copy(self) -> "Watermark":
        """Return an independent copy, for a slice that may yet be thrown away."""
        return Watermark(self.value, dict(self.ahead), self.raises)
