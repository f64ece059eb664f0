"""The input contract: what producers write to ``clicks``, ``orders`` and ``social``.

Each struct is strict, which makes decoding fast: a record with unknown fields takes the decoder's second path, which
keeps them apart. Money is a whole number of micros of a currency: 1500000 is 1.50.

Easy to get wrong: rules between fields (:func:`broken_rules`) are part of the contract too, and stand in the JSON
Schema; a struct that decodes is not yet a valid event. Where a JSON name occurs twice, the last value counts, as in
nearly every JSON reader.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from msgspec import Struct

from schemas.fields import (
    Address,
    AdId,
    CampaignId,
    Channel,
    Currency,
    EventTime,
    Identifier,
    Micros,
    Page,
    Platform,
    Quantity,
    Sentiment,
    Stars,
    Text,
    UserAgent,
    Variant,
    doc,
)
from schemas.reasons import ErrorCode

__all__ = ["INPUTS", "RULES", "AdEvent", "Event", "Order", "Rule", "SocialInteraction", "broken_rules"]

EVENT_ID = doc("Identity of the event, unique per topic and user. A retry repeats it.")
EVENT_TIME = doc(
    "When it happened: epoch milliseconds, or RFC 3339 with offset (cut to milliseconds).",
    examples=[1_574_553_617_004, "2019-11-24T00:00:17.004Z"],
)
USER_ID = doc("Who did it, as the producer knows the person; also the record's key. Outputs carry a keyed hash.")
CAMPAIGN_ID = doc("The campaign it belongs to; key of the `campaigns` topic.")
CHANNEL = doc("Marketing channel. Without it, the channel of the campaign, else `unknown`.", examples=["search"])


class AdEvent(Struct, forbid_unknown_fields=True, gc=False):
    """Something shown, clicked or visited. Impressions and clicks need a campaign, a cost needs its currency."""

    event_id: Annotated[Identifier, EVENT_ID]
    type: Annotated[Literal["impression", "click", "pageview"], doc("What happened.")]
    event_time: Annotated[EventTime, EVENT_TIME]
    user_id: Annotated[Identifier, USER_ID]
    campaign_id: Annotated[CampaignId | None, CAMPAIGN_ID] = None
    channel: Annotated[Channel | None, CHANNEL] = None
    ad_id: Annotated[AdId | None, doc("The advertisement shown or clicked.")] = None
    cost_micros: Annotated[Micros | None, doc("What it cost the advertiser, micros of `currency`.")] = None
    currency: Annotated[Currency | None, doc("ISO 4217 code of `cost_micros`.", examples=["EUR"])] = None
    session_id: Annotated[Identifier | None, doc("The visit it belongs to.")] = None
    page: Annotated[Page | None, doc("Page or placement.")] = None
    ip: Annotated[Address | None, doc("Network address of the person. Outputs carry a keyed hash.")] = None
    user_agent: Annotated[UserAgent | None, doc("The browser's own name for itself.")] = None
    variant: Annotated[Variant | None, doc("Arm of an experiment.")] = None


class Order(Struct, forbid_unknown_fields=True, gc=False):
    """An order, or the refund of one. A refund has positive revenue: revenue stays gross."""

    event_id: Annotated[Identifier, EVENT_ID]
    type: Annotated[Literal["order", "refund"], doc("What happened.")]
    event_time: Annotated[EventTime, EVENT_TIME]
    user_id: Annotated[Identifier, USER_ID]
    order_id: Annotated[Identifier, doc("The order; in a refund, the order it refunds.")]
    revenue_micros: Annotated[Micros, doc("Amount paid, or paid back, micros of `currency`. An order may be free.")]
    currency: Annotated[Currency, doc("ISO 4217 code of `revenue_micros`.", examples=["EUR"])]
    quantity: Annotated[Quantity | None, doc("Number of items.")] = None
    campaign_id: Annotated[CampaignId | None, CAMPAIGN_ID] = None
    channel: Annotated[Channel | None, CHANNEL] = None
    new_customer: Annotated[bool | None, doc("Whether it is the person's first order.")] = None


class SocialInteraction(Struct, forbid_unknown_fields=True, gc=False):
    """Something people did or said on a social platform."""

    event_id: Annotated[Identifier, EVENT_ID]
    type: Annotated[
        Literal["mention", "like", "comment", "share", "follow", "review", "complaint"], doc("What happened.")
    ]
    event_time: Annotated[EventTime, EVENT_TIME]
    user_id: Annotated[Identifier, USER_ID]
    platform: Annotated[Platform, doc("Where it happened.", examples=["instagram"])]
    campaign_id: Annotated[CampaignId | None, CAMPAIGN_ID] = None
    channel: Annotated[Channel | None, CHANNEL] = None
    text: Annotated[Text | None, doc("What was written.")] = None
    sentiment: Annotated[Sentiment | None, doc("Tone of the text: -1 hostile, 0 neutral, 1 friendly.")] = None
    rating: Annotated[Stars | None, doc("Stars of a review, 1 to 5.")] = None


Event = AdEvent | Order | SocialInteraction

INPUTS: dict[str, type[Event]] = {"clicks": AdEvent, "orders": Order, "social": SocialInteraction}
"""The input topics and what they carry."""


class Rule(Struct, frozen=True):
    """A rule between fields: the field to mend, what is wrong with it, and the same as JSON Schema."""

    field: str
    code: ErrorCode
    detail: str
    schema: dict[str, Any]


def _if_then(when: dict[str, Any], then: dict[str, Any]) -> dict[str, Any]:
    return {
        "if": {"properties": when, "required": list(when)},
        "then": {"properties": then, "required": list(then)},
    }


_NEEDS_CAMPAIGN = Rule(
    "campaign_id",
    ErrorCode.MISSING,
    "an impression or click needs a campaign",
    _if_then({"type": {"enum": ["impression", "click"]}}, {"campaign_id": {"type": "string"}}),
)
_NEEDS_CURRENCY = Rule(
    "currency",
    ErrorCode.MISSING,
    "cost_micros needs a currency",
    _if_then({"cost_micros": {"type": "integer"}}, {"currency": {"type": "string"}}),
)
_NEEDS_AMOUNT = Rule(
    "revenue_micros",
    ErrorCode.TOO_SMALL,
    "a refund needs a positive amount",
    _if_then({"type": {"const": "refund"}}, {"revenue_micros": {"exclusiveMinimum": 0}}),
)

RULES: dict[str, tuple[Rule, ...]] = {
    "clicks": (_NEEDS_CAMPAIGN, _NEEDS_CURRENCY),
    "orders": (_NEEDS_AMOUNT,),
    "social": (),
}
"""The rules between fields, by topic."""


def _broken_by_ad_event(event: AdEvent) -> tuple[Rule, ...]:
    broken: tuple[Rule, ...] = ()
    if event.campaign_id is None and event.type in ("impression", "click"):
        broken += (_NEEDS_CAMPAIGN,)
    if event.currency is None and event.cost_micros is not None:
        broken += (_NEEDS_CURRENCY,)
    return broken


def _broken_by_order(event: Order) -> tuple[Rule, ...]:
    return (_NEEDS_AMOUNT,) if event.revenue_micros == 0 and event.type == "refund" else ()


def _broken_by_interaction(event: SocialInteraction) -> tuple[Rule, ...]:
    return ()


_BROKEN: dict[str, Callable[[Any], tuple[Rule, ...]]] = {
    "clicks": _broken_by_ad_event,
    "orders": _broken_by_order,
    "social": _broken_by_interaction,
}


def broken_rules(topic: str) -> Callable[[Any], tuple[Rule, ...]]:
    """Return the function that tells which of a topic's rules an event breaks.

    >>> [rule.field for rule in broken_rules("clicks")(AdEvent("e1", "click", 0, "u1", cost_micros=5))]
    ['campaign_id', 'currency']
    """
    return _BROKEN[topic]
