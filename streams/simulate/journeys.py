"""Journeys of users: an impression, perhaps a click, a visit, an order, a refund; and what people say meanwhile.

Events come one by one in time order. What follows from an event (a click seconds later, an order minutes later, a
refund hours later) waits in a queue until its time, and goes before new journeys; so any rate can be asked for and the
mix of events stays true.

Easy to get wrong: the channel an event *counts* to is not always the one it *names*. Some name none and count to their
campaign's; a few name another, and the event's own wins; without a campaign and a channel it is ``unknown``.
"""

from bisect import bisect
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from heapq import heappop, heappush
from itertools import accumulate
from math import cos, pi
from random import Random
from typing import Any, NamedTuple

from streams.simulate.catalogue import CampaignPlan
from streams.simulate.truth import UNKNOWN

__all__ = ["HOUR_MS", "Event", "Journeys", "hour_weight"]

SOCIAL_SHARE = 0.06
"""New journeys that are a social interaction."""
DIRECT_SHARE = 0.02
"""New journeys that begin with a visit nobody paid for."""
UNNAMED_SHARE = 0.15
"""Journeys whose events name their campaign only."""
MISMATCH_SHARE = 0.003
"""Journeys whose events name another channel than their campaign's."""
RFC3339_SHARE = 0.02
EXTRA_SHARE = 0.02
REFUND_SHARE = 0.06
FREE_ORDER_SHARE = 0.01

HOUR_MS = 3_600_000
CENT = 10_000

PLATFORMS = ("instagram", "tiktok", "youtube", "x", "facebook", "reddit")
SAYINGS = {
    "mention": ("saw this everywhere today", 0.1),
    "like": (None, None),
    "comment": ("looks good, is it back in stock?", 0.4),
    "share": (None, None),
    "follow": (None, None),
    "review": ("does what it says", 0.6),
    "complaint": ("my parcel is late again", -0.8),
}
SAYING_WEIGHTS = (18, 46, 12, 9, 8, 4, 3)
AGENTS = ("Mozilla/5.0 (Android 15; Mobile)", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1)", "Mozilla/5.0 (X11; Linux)")
PAGES = ("/", "/sale", "/item/1042", "/item/77", "/basket", "/checkout", "/stores")


class Journey(NamedTuple):
    """What the events of one journey share."""

    user: int
    plan: CampaignPlan | None
    named: str | None
    counted: str
    session: str


class Event(NamedTuple):
    """One event, and what it counts."""

    topic: str
    user_id: str
    fields: dict[str, Any]
    channel: str
    campaign_id: str
    money_micros: int


class Journeys:
    """Makes events one by one; the same seed and times make the same events."""

    def __init__(self, plans: Sequence[CampaignPlan], *, seed: int, users: int, prefix: str) -> None:
        self._plans = plans
        self._random = Random(f"{seed}/journeys")
        self._users = users
        self._prefix = prefix
        self._made = 0
        self._due: list[tuple[int, int, str, Journey, Any]] = []
        self._spent = dict.fromkeys((plan.campaign_id for plan in plans), 0)
        self._customers: set[int] = set()
        self._hour = -1
        self._weights: list[float] = []

    def next(self, now_ms: int, event_ms: int) -> Event:
        """Return the event that happens at ``now_ms``, dated ``event_ms``."""
        self._made += 1
        if self._due and self._due[0][0] <= now_ms:
            _, _, kind, journey, more = heappop(self._due)
            return self._follow(kind, journey, more, now_ms, event_ms)
        draw = self._random.random()
        if draw < SOCIAL_SHARE:
            return self._interaction(now_ms, event_ms)
        if draw < SOCIAL_SHARE + DIRECT_SHARE:
            return self._pageview(Journey(self._user(), None, None, UNKNOWN, self._id("s")), now_ms, event_ms)
        return self._impression(now_ms, event_ms)

    # -- one method for each kind of event -------------------------------------

    def _follow(self, kind: str, journey: Journey, more: Any, now_ms: int, event_ms: int) -> Event:
        if kind == "click":
            return self._click(journey, more, now_ms, event_ms)
        if kind == "pageview":
            return self._pageview(journey, now_ms, event_ms)
        if kind == "order":
            return self._order(journey, now_ms, event_ms)
        return self._refund(journey, more, event_ms)

    def _impression(self, now_ms: int, event_ms: int) -> Event:
        random = self._random.random
        plan = self._pick(now_ms)
        named = counted = plan.channel.name
        draw = random()
        if draw < MISMATCH_SHARE:
            named = counted = self._plans[int(random() * len(self._plans))].channel.name
        journey = Journey(self._user(), plan, None if draw > 1 - UNNAMED_SHARE else named, counted, "")
        fields = self._fields("impression", journey, event_ms)
        fields["ad_id"] = ad_id = f"ad-{int(random() * 5)}"
        fields["variant"] = "A" if random() < 0.5 else "B"
        if random() < plan.ctr:
            session = self._id("s")
            self._later(now_ms, random() * random() * 8_000, "click", journey._replace(session=session), ad_id)
        return self._ad("impression", journey, fields, plan.channel.impression_micros)

    def _click(self, journey: Journey, ad_id: str, now_ms: int, event_ms: int) -> Event:
        random = self._random.random
        fields = self._fields("click", journey, event_ms)
        fields["ad_id"] = ad_id
        fields["session_id"] = journey.session
        fields["ip"] = f"198.51.{journey.user >> 8 & 255}.{journey.user & 255}"
        fields["user_agent"] = AGENTS[journey.user % 3]
        assert journey.plan is not None
        if random() < 0.9:
            self._later(now_ms, 100 + random() * 900, "pageview", journey, None)
        if random() < journey.plan.conversion:
            self._later(now_ms, self._order_lag(), "order", journey, None)
        return self._ad("click", journey, fields, journey.plan.channel.click_micros)

    def _pageview(self, journey: Journey, now_ms: int, event_ms: int) -> Event:
        random = self._random.random
        fields = self._fields("pageview", journey, event_ms)
        fields["session_id"] = journey.session
        fields["page"] = PAGES[int(random() * len(PAGES))]
        draw = random()
        if draw < 0.5:
            self._later(now_ms, 3_000 + 40_000 * random(), "pageview", journey, None)
        elif journey.plan is None and draw > 0.97:
            self._later(now_ms, self._order_lag(), "order", journey, None)
        return self._ad("pageview", journey, fields, 0)

    def _order(self, journey: Journey, now_ms: int, event_ms: int) -> Event:
        random = self._random.random
        plan = journey.plan
        median = plan.channel.basket_micros if plan else 40_000_000
        micros = int(median * self._random.lognormvariate(0, 0.6)) // CENT * CENT
        if random() < FREE_ORDER_SHARE:
            micros = 0
        fields = self._fields("order", journey, event_ms)
        fields["order_id"] = order_id = self._id("o")
        fields["revenue_micros"] = micros
        fields["currency"] = currency = plan.currency if plan else "EUR"
        fields["quantity"] = 1 + int(random() * random() * 5)
        fields["new_customer"] = journey.user not in self._customers
        self._customers.add(journey.user)
        if micros and random() < REFUND_SHARE:
            part = micros if random() < 0.7 else max(1, micros // 2)
            self._later(now_ms, self._refund_lag(), "refund", journey, (order_id, part, currency))
        return self._event("orders", journey, fields, micros)

    def _refund(self, journey: Journey, more: tuple[str, int, str], event_ms: int) -> Event:
        fields = self._fields("refund", journey, event_ms)
        fields["order_id"], fields["revenue_micros"], fields["currency"] = more
        return self._event("orders", journey, fields, more[1])

    def _interaction(self, now_ms: int, event_ms: int) -> Event:
        random = self._random.random
        if random() < 0.7:
            plan = self._pick(now_ms)
            named = None if random() < UNNAMED_SHARE else plan.channel.name
            journey = Journey(self._user(), plan, named, plan.channel.name, "")
        else:
            named = "social" if random() < 0.5 else None
            journey = Journey(self._user(), None, named, named or UNKNOWN, "")
        kind = self._random.choices(tuple(SAYINGS), SAYING_WEIGHTS)[0]
        fields = self._fields(kind, journey, event_ms)
        fields["platform"] = PLATFORMS[int(random() * len(PLATFORMS))]
        text, sentiment = SAYINGS[kind]
        if text is not None and sentiment is not None:
            fields["text"] = text
            fields["sentiment"] = max(-1.0, min(1.0, round(sentiment + random() * 0.8 - 0.4, 2)))
        if kind == "review":
            fields["rating"] = 1 + int(random() * 5)
        return self._event("social", journey, fields, 0)

    # -- what they share ---------------------------------------------------------

    def _fields(self, kind: str, journey: Journey, event_ms: int) -> dict[str, Any]:
        random = self._random.random
        fields: dict[str, Any] = {
            "event_id": self._id("e"),
            "type": kind,
            "event_time": event_ms if random() >= RFC3339_SHARE else rfc3339(event_ms, int(random() * 3) - 1),
            "user_id": f"u{journey.user:06d}",
        }
        if journey.plan is not None:
            fields["campaign_id"] = journey.plan.campaign_id
        if journey.named is not None:
            fields["channel"] = journey.named
        if random() < EXTRA_SHARE:
            fields["utm_term"] = "shoes"
            fields["email"] = f"u{journey.user}@example.com"
        return fields

    def _ad(self, kind: str, journey: Journey, fields: dict[str, Any], price: int) -> Event:
        if not price or journey.plan is None:
            return self._event("clicks", journey, fields, 0)
        cost = int(price * (0.6 + 0.8 * self._random.random()))
        fields["cost_micros"] = cost
        fields["currency"] = journey.plan.currency
        spent = self._spent[journey.plan.campaign_id] = self._spent[journey.plan.campaign_id] + cost
        if spent >= journey.plan.budget_micros:
            self._hour = -1
        return self._event("clicks", journey, fields, cost)

    @staticmethod
    def _event(topic: str, journey: Journey, fields: dict[str, Any], money: int) -> Event:
        plan = journey.plan
        return Event(topic, fields["user_id"], fields, journey.counted, plan.campaign_id if plan else "", money)

    def _pick(self, now_ms: int) -> CampaignPlan:
        """Return a campaign that still has budget, by its weight at this hour."""
        hour = now_ms // HOUR_MS
        if hour != self._hour:
            self._hour = hour
            self._weights = list(accumulate(
                plan.weight * plan.channel.weight * hour_weight(hour % 24, plan.channel.peak_hour)
                if self._spent[plan.campaign_id] < plan.budget_micros else 0.0 for plan in self._plans))
        return self._plans[bisect(self._weights, self._random.random() * self._weights[-1], 0, len(self._plans) - 1)]

    def _later(self, now_ms: int, lag_ms: float, kind: str, journey: Journey, more: Any) -> None:
        heappush(self._due, (now_ms + int(lag_ms), self._made, kind, journey, more))

    def _order_lag(self) -> float:
        """Half buy at once, the others think it over: minutes to days."""
        quick = self._random.random() < 0.5
        return self._random.expovariate(1 / 12_000 if quick else 1 / (6 * HOUR_MS))

    def _refund_lag(self) -> float:
        quick = self._random.random() < 0.3
        return self._random.expovariate(1 / 30_000 if quick else 1 / (72 * HOUR_MS))

    def _user(self) -> int:
        """Some users do much, most do little."""
        draw = self._random.random()
        return int(draw * draw * self._users)

    def _id(self, letter: str) -> str:
        return f"{letter}-{self._prefix}-{self._made}"


def hour_weight(hour: float, peak: float) -> float:
    """Return the traffic of an hour relative to the day's mean; 1.6 at the peak, 0.4 twelve hours away.

    >>> hour_weight(20, peak=20), hour_weight(8, peak=20)
    (1.6, 0.4)
    """
    return 1 + 0.6 * cos((hour - peak) * pi / 12)


def rfc3339(time_ms: int, hours: int) -> str:
    """Return a time as text with an offset of ``hours`` from UTC.

    >>> rfc3339(1_767_225_600_007, 1)
    '2026-01-01T01:00:00.007+01:00'
    """
    zone = timezone(timedelta(hours=hours)) if hours else UTC
    moment = datetime.fromtimestamp(time_ms // 1_000, zone) + timedelta(milliseconds=time_ms % 1_000)
    return moment.isoformat(timespec="milliseconds")
