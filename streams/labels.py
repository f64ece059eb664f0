"""Label values that Prometheus can bear: printable, not empty, of bounded length and number.

Channel and currency come from events, so anybody who can send events can invent them. Each new value is a new set of
series for ever: the first ones that come keep their name, the rest is shown together.

Easy to get wrong: a label value that cannot be encoded fails the whole page, not only its own line.
"""

from collections.abc import Hashable
from functools import lru_cache
from typing import Generic, TypeVar

__all__ = ["MOST_CHARACTERS", "OTHER", "UNKNOWN", "Bounded", "clean"]

OTHER = "other"
"""Stands for all values that came too late to keep their name."""

UNKNOWN = "unknown"
"""Stands for no value: Prometheus takes an empty label for an absent one."""

MOST_CHARACTERS = 128
"""Longest label value: as long as the contract lets a campaign's id be."""

_Value = TypeVar("_Value", bound=Hashable)


@lru_cache(8_192)
def clean(value: str) -> str:
    r"""Return ``value`` as a label value; what cannot be printed is shown as U+FFFD.

    >>> clean("e-mail"), clean(""), clean("a\nb\ud800"), len(clean("x" * 500))
    ('e-mail', 'unknown', 'a\ufffdb\ufffd', 128)
    """
    value = value[:MOST_CHARACTERS] or UNKNOWN
    if value.isprintable():
        return value
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in value)


class Bounded(Generic[_Value]):
    """The first values that come keep their name as long as the process lives.

    >>> channels = Bounded(2)
    >>> [channels.keeps(name) for name in ("search", "email", "radio", "search")]
    [True, True, False, True]
    >>> channels.refused
    {'radio'}
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: set[_Value] = set()
        self.refused: set[_Value] = set()
        """Values without a name since the owner last cleared this set."""

    def keeps(self, value: _Value) -> bool:
        """Return whether ``value`` is shown under its own name."""
        if value in self._kept:
            return True
        if len(self._kept) < self._most:
            self._kept.add(value)
            return True
        self.refused.add(value)
        return False
