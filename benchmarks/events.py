"""The events that both contestants count: impressions, clicks and page views of one account.

Each is valid, unique and on time, so whoever counts records and whoever judges them must come to the same sums. The
same seed makes the same events; only their start moves, to stay close to Kafka's time of the records.

Easy to get wrong: event time must not run faster than in life. A slice that spans one pane is cheaper than one that
spans ten, so the pace is an argument, and part of the result.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import msgspec

from streams.simulate.catalogue import CampaignPlan, catalogue

__all__ = ["Shape", "campaign_of", "reference_rows", "rows"]

TYPES = ("impression", "click", "pageview")
WEIGHTS = (80, 12, 8)
PAGES = ("/", "/sale", "/item/1042", "/item/77", "/basket", "/stores")
AGENTS = ("Mozilla/5.0 (Android 15; Mobile)", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1)", "Mozilla/5.0 (X11; Linux)")

Row = tuple[bytes, bytes]

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Shape:
    """What the events are like; ``pace`` is events per second of event time."""

    events: int = 400_000
    users: int = 2_000
    channels: int = 6
    campaigns: int = 120
    pace: int = 2_000
    seed: int = 7

    @property
    def span_ms(self) -> int:
        """Event time between the first and the last event."""
        return self.events * 1_000 // self.pace

    def plans(self) -> list[CampaignPlan]:
        """Return the campaigns."""
        return list(catalogue(seed=self.seed, campaigns=self.campaigns, channels=self.channels, start_ms=0))


def reference_rows(shape: Shape) -> list[Row]:
    """Return the records of the ``campaigns`` topic."""
    return [(plan.campaign_id.encode(), _encode(plan.reference())) for plan in shape.plans()]


def rows(shape: Shape, start_ms: int) -> Iterator[Row]:
    """Yield key (the user) and value of each event, in time order from ``start_ms`` on.

    >>> key, value = next(rows(Shape(events=1), 1_700_000_000_000))
    >>> event = msgspec.json.decode(value)
    >>> event["user_id"].encode() == key, event["event_id"]
    (True, 'e-0')
    """
    random = Random(shape.seed)
    plans = shape.plans()
    for number in range(shape.events):
        user = random.randrange(shape.users)
        kind = random.choices(TYPES, WEIGHTS)[0]
        plan = plans[random.randrange(len(plans))]
        cost = plan.channel.click_micros if kind == "click" else plan.channel.impression_micros
        event: dict[str, object] = {
            "event_id": f"e-{number}",
            "type": kind,
            "event_time": start_ms + number * 1_000 // shape.pace,
            "user_id": f"user-{user}",
            "campaign_id": plan.campaign_id,
            "channel": plan.channel.name,
            "ad_id": f"{plan.campaign_id}-a{user % 4}",
            "session_id": f"s-{user}-{number // 50_000}",
            "page": PAGES[user % len(PAGES)],
            "ip": f"10.{user >> 16 & 255}.{user >> 8 & 255}.{user & 255}",
            "user_agent": AGENTS[user % len(AGENTS)],
        }
        if cost and kind != "pageview":
            event |= {"cost_micros": cost, "currency": plan.currency}
        yield f"user-{user}".encode(), _encode(event)


class _Campaign(msgspec.Struct):
    campaign_id: str


_campaign = msgspec.json.Decoder(_Campaign).decode


def campaign_of(value: bytes) -> str:
    """Return the campaign of an event."""
    return _campaign(value).campaign_id
