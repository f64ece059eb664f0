"""The campaigns of a simulated account, and how people behave in each channel.

A channel's profile is the true rate behind the numbers: the click-through rate a campaign will show is drawn around
it, so a run has differences to find. Costs follow the trade: auctions per click (search), per thousand impressions
(display), per sent message (email).

Easy to get wrong: every channel keeps one campaign whose budget cannot run out, else a long run falls silent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

__all__ = ["CHANNELS", "DAY_MS", "CampaignPlan", "Channel", "catalogue"]

DAY_MS = 86_400_000

OWNERS = ("brand", "performance", "retention", "partners")
THEMES = ("spring", "launch", "clearance", "loyalty", "newcomers", "weekend", "outdoor", "basics", "gifts", "season")

EVERGREEN_BUDGET_MICROS = 1_000_000_000_000_000
"""A billion units: no simulated run spends it."""


@dataclass(frozen=True, slots=True)
class Channel:
    """How people behave in one channel; rates are probabilities, money is micros."""

    name: str
    weight: float
    """Share of the impressions, before the hour of the day moves it."""
    peak_hour: float
    """Hour (UTC) in which most of them happen."""
    ctr: float
    conversion: float
    """Orders per click."""
    impression_micros: int
    click_micros: int
    basket_micros: int
    """Median value of an order."""


CHANNELS = (
    Channel("search", 0.22, 11, 0.110, 0.090, 0, 620_000, 58_000_000),
    Channel("social", 0.20, 20, 0.045, 0.045, 6_500, 0, 41_000_000),
    Channel("display", 0.20, 14, 0.022, 0.030, 2_400, 0, 49_000_000),
    Channel("video", 0.12, 21, 0.030, 0.035, 9_800, 0, 52_000_000),
    Channel("email", 0.09, 8, 0.080, 0.120, 300, 0, 64_000_000),
    Channel("affiliate", 0.07, 17, 0.065, 0.090, 0, 380_000, 37_000_000),
    Channel("shopping", 0.07, 15, 0.090, 0.110, 0, 450_000, 45_000_000),
    Channel("audio", 0.03, 7, 0.016, 0.025, 7_200, 0, 33_000_000),
)


@dataclass(frozen=True, slots=True)
class CampaignPlan:
    """One campaign: what the reference topic says of it, and the true rates behind its numbers."""

    campaign_id: str
    name: str
    channel: Channel
    budget_micros: int
    currency: str
    start: int
    end: int
    owner: str
    weight: float
    ctr: float
    conversion: float

    def reference(self) -> dict[str, object]:
        """Return the record of the ``campaigns`` topic."""
        return {
            "campaign_id": self.campaign_id,
            "name": self.name,
            "channel": self.channel.name,
            "budget_micros": self.budget_micros,
            "currency": self.currency,
            "start": self.start,
            "end": self.end,
            "owner": self.owner,
        }


def catalogue(
    *, seed: int, campaigns: int, channels: int, start_ms: int, currencies: Sequence[str] = ("EUR",)
) -> Sequence[CampaignPlan]:
    """Return the campaigns of an account, the same for the same arguments.

    >>> plans = catalogue(seed=1, campaigns=12, channels=6, start_ms=0)
    >>> len(plans), len({plan.channel.name for plan in plans}), plans[0].campaign_id
    (12, 6, 'search-spring-1')
    """
    random = Random(f"{seed}/catalogue")
    plans = range(campaigns)
    return [_plan(random, n, CHANNELS[n % channels], channels, start_ms, currencies) for n in plans]


def _plan(
    random: Random, number: int, channel: Channel, channels: int, start_ms: int, currencies: Sequence[str]
) -> CampaignPlan:
    theme = THEMES[number // channels % len(THEMES)]
    evergreen = number < channels
    today = start_ms - start_ms % DAY_MS
    return CampaignPlan(
        campaign_id=f"{channel.name}-{theme}-{number + 1}",
        name=f"{channel.name.title()} {theme} {number + 1}",
        channel=channel,
        budget_micros=EVERGREEN_BUDGET_MICROS if evergreen else random.randrange(50, 20_000) * 1_000_000,
        currency=random.choice(currencies),
        start=today - random.randrange(1, 30) * DAY_MS,
        end=today + random.randrange(400, 800) * DAY_MS,
        owner=random.choice(OWNERS),
        weight=random.uniform(0.3, 1.7),
        ctr=min(0.5, channel.ctr * random.uniform(0.6, 1.5)),
        conversion=min(0.5, channel.conversion * random.uniform(0.6, 1.5)),
    )
