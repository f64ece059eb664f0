"""What a simulated run is asked for.

The same options give the same bytes, on any day and machine: nothing here or behind it reads a clock.

Easy to get wrong: event ids carry the seed *and* the start, so that two runs against one broker are two lots of events,
and the same run sent twice is one lot and its duplicates.
"""

import re
from dataclasses import dataclass

from streams.simulate.catalogue import CHANNELS

__all__ = ["Options", "OptionsError"]

MOST_CAMPAIGNS = 200_000
MOST_USERS = 100_000_000
LAST_START_MS = 4_102_444_800_000
"""The year 2100."""


class OptionsError(ValueError):
    """An option that cannot be used: ``option`` names it, the text says what to give instead."""

    def __init__(self, option: str, mend: str) -> None:
        super().__init__(f"{option}: {mend}")
        self.option = option


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One run. Shares are parts of all records, 0 to 1.

    >>> Options(duplicates=0.02).duplicates
    0.02
    >>> Options(hostile=2)
    Traceback (most recent call last):
    streams.simulate.options.OptionsError: hostile: give a share from 0 to 1, for example 0.02
    """

    seed: int = 1
    start_ms: int = 1_767_225_600_000
    """Event time of the first event; 1 January 2026 unless given."""
    rate: float = 1_000.0
    """Records for each second of event time, on average over a day."""
    events: int = 0
    """Records after which the run ends; 0 for no such end."""
    seconds: float = 0.0
    """Seconds of event time after which the run ends; 0 for no such end."""
    users: int = 20_000
    channels: int = len(CHANNELS)
    campaigns: int = 40
    currencies: tuple[str, ...] = ("EUR",)
    """Currencies of campaigns, each drawn as often as it is named; one account usually has one."""
    day_curve: bool = False
    """Whether the rate follows the hours of the day; the mix of channels always does."""
    disorder_ms: int = 500
    """How far apart ordinary events may be out of order."""
    duplicates: float = 0.0
    conflicts: float = 0.0
    late: float = 0.0
    """Events that arrive long after their time: half within a minute, half up to hours later."""
    hostile: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what makes no run."""
        for name in ("duplicates", "conflicts", "late", "hostile"):
            _between(name, getattr(self, name), 0, 1, "give a share from 0 to 1, for example 0.02")
        if self.duplicates + self.conflicts + self.late + self.hostile > 1:
            raise OptionsError("duplicates", "give shares that add up to at most 1 with conflicts, late and hostile")
        if not self.currencies or not all(re.fullmatch("[A-Z]{3}", code) for code in self.currencies):
            raise OptionsError("currencies", "give ISO 4217 codes separated by commas, for example EUR,USD")
        _between("rate", self.rate, 0.001, 10_000_000, "give events a second, more than 0")
        _between("events", self.events, 0, 2**53, "give how many, or 0 for no end")
        _between("seconds", self.seconds, 0, 1e10, "give how many, or 0 for no end")
        _between("users", self.users, 1, MOST_USERS, f"give a whole number from 1 to {MOST_USERS}")
        _between("channels", self.channels, 1, len(CHANNELS), f"give a whole number from 1 to {len(CHANNELS)}")
        _between("campaigns", self.campaigns, self.channels, MOST_CAMPAIGNS,
                 f"give a whole number from {self.channels} (one for each channel) to {MOST_CAMPAIGNS}")
        _between("disorder_ms", self.disorder_ms, 0, 60_000, "give milliseconds from 0 to 60000")
        _between("start_ms", self.start_ms, 946_684_800_000, LAST_START_MS, "give a time from 2000 to 2100")

    def as_dict(self) -> dict[str, object]:
        """Return every option by name, for the truth file."""
        return {name: getattr(self, name) for name in self.__slots__}


def _between(name: str, value: float, low: float, high: float, mend: str) -> None:
    if not low <= value <= high:
        raise OptionsError(name, mend)
