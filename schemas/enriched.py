"""What an accepted event becomes: topics ``clicks.enriched``, ``orders.enriched``, ``social.enriched``.

The fields of the input, with what was known of the campaign and where the event came from. ``user_id`` and ``ip`` keep
their names but hold keyed hashes. Easy to get wrong: a record may appear more than once after a crash, identical; its
``source`` tells repeats apart from different events.
"""

from typing import Annotated, Any, Literal

from msgspec import Struct

from schemas.fields import (
    SCHEMA_VERSION,
    AdId,
    CampaignId,
    Channel,
    Count,
    Currency,
    EpochMs,
    Identifier,
    Micros,
    Page,
    Platform,
    Quantity,
    Sentiment,
    Stars,
    Text,
    UserAgent,
    UserHash,
    Variant,
    doc,
)

__all__ = [
    "ENRICHED",
    "CampaignInfo",
    "Enriched",
    "EnrichedAd",
    "EnrichedOrder",
    "EnrichedSocial",
    "Source",
]

EVENT_ID = doc("Identity of the event, unique per topic and user.")
EVENT_TIME = doc("When it happened, epoch milliseconds.")
USER_ID = doc("Keyed hash of the person's id, also the record's key.")
CAMPAIGN_ID = doc("The campaign it counts to, as the event named it.")
CHANNEL = doc("Channel it counts to: the event's own, else the campaign's, else `unknown`.")
OUTCOME = doc("`late` when it came after the allowed lateness; both are counted.")
CAMPAIGN = doc("What `campaigns` said when the event was read; null when it knew nothing.")
EXTRA = doc("Fields of the input that the contract does not know, without personal ones.")
SOURCE = doc("The input record. A repeat of this record has the same source.")
VERSION = doc("Version of this contract.", ge=1)

OutcomeCounted = Literal["accepted", "late"]


class Source(Struct, frozen=True, gc=False):
    """Position of a record in Kafka."""

    topic: Annotated[str, doc("Name of the topic.")]
    partition: Annotated[Count, doc("Partition number.")]
    offset: Annotated[Count, doc("Offset in the partition.")]


class CampaignInfo(Struct, frozen=True, gc=False):
    """What was known of the campaign."""

    name: Annotated[Text | None, doc("Name for people.")] = None
    channel: Annotated[Channel | None, doc("Channel of the campaign; the event may have named another.")] = None
    budget_micros: Annotated[Micros | None, doc("Planned spend, micros of `currency`.")] = None
    currency: Annotated[Currency | None, doc("ISO 4217 code of `budget_micros`.")] = None
    start: Annotated[EpochMs | None, doc("First moment, epoch milliseconds.")] = None
    end: Annotated[EpochMs | None, doc("First moment after it, epoch milliseconds.")] = None
    owner: Annotated[Text | None, doc("Team that runs it.")] = None


class EnrichedAd(Struct, gc=False):
    """An impression, click or page view."""

    event_id: Annotated[Identifier, EVENT_ID]
    type: Annotated[Literal["impression", "click", "pageview"], doc("What happened.")]
    event_time: Annotated[EpochMs, EVENT_TIME]
    user_id: Annotated[UserHash, USER_ID]
    campaign_id: Annotated[CampaignId | None, CAMPAIGN_ID]
    channel: Annotated[Channel, CHANNEL]
    ad_id: Annotated[AdId | None, doc("The advertisement shown or clicked.")]
    cost_micros: Annotated[Micros | None, doc("What it cost the advertiser, micros of `currency`.")]
    currency: Annotated[Currency | None, doc("ISO 4217 code of `cost_micros`.")]
    session_id: Annotated[Identifier | None, doc("The visit it belongs to.")]
    page: Annotated[Page | None, doc("Page or placement.")]
    ip: Annotated[UserHash | None, doc("Keyed hash of the network address.")]
    user_agent: Annotated[UserAgent | None, doc("The browser's own name for itself.")]
    variant: Annotated[Variant | None, doc("Arm of an experiment.")]
    outcome: Annotated[OutcomeCounted, OUTCOME]
    campaign: Annotated[CampaignInfo | None, CAMPAIGN]
    extra: Annotated[dict[str, Any], EXTRA]
    source: Annotated[Source, SOURCE]
    schema_version: Annotated[int, VERSION] = SCHEMA_VERSION


class EnrichedOrder(Struct, gc=False):
    """An order or a refund."""

    event_id: Annotated[Identifier, EVENT_ID]
    type: Annotated[Literal["order", "refund"], doc("What happened.")]
    event_time: Annotated[EpochMs, EVENT_TIME]
    user_id: Annotated[UserHash, USER_ID]
    order_id: Annotated[Identifier, doc("The order; in a refund, the order it refunds.")]
    revenue_micros: Annotated[Micros, doc("Amount paid, or paid back, micros of `currency`.")]
    currency: Annotated[Currency, doc("ISO 4217 code of `revenue_micros`.")]
    quantity: Annotated[Quantity | None, doc("Number of items.")]
    campaign_id: Annotated[CampaignId | None, CAMPAIGN_ID]
    channel: Annotated[Channel, CHANNEL]
    new_customer: Annotated[bool | None, doc("Whether it is the person's first order.")]
    outcome: Annotated[OutcomeCounted, OUTCOME]
    campaign: Annotated[CampaignInfo | None, CAMPAIGN]
    extra: Annotated[dict[str, Any], EXTRA]
    source: Annotated[Source, SOURCE]
    schema_version: Annotated[int, VERSION] = SCHEMA_VERSION


class EnrichedSocial(Struct, gc=False):
    """Something people did or said on a social platform."""

    event_id: Annotated[Identifier, EVENT_ID]
    type: Annotated[
        Literal["mention", "like", "comment", "share", "follow", "review", "complaint"], doc("What happened.")
    ]
    event_time: Annotated[EpochMs, EVENT_TIME]
    user_id: Annotated[UserHash, USER_ID]
    platform: Annotated[Platform, doc("Where it happened.")]
    campaign_id: Annotated[CampaignId | None, CAMPAIGN_ID]
    channel: Annotated[Channel, CHANNEL]
    text: Annotated[Text | None, doc("What was written.")]
    sentiment: Annotated[Sentiment | None, doc("Tone of the text: -1 hostile, 0 neutral, 1 friendly.")]
    rating: Annotated[Stars | None, doc("Stars of a review, 1 to 5.")]
    outcome: Annotated[OutcomeCounted, OUTCOME]
    campaign: Annotated[CampaignInfo | None, CAMPAIGN]
    extra: Annotated[dict[str, Any], EXTRA]
    source: Annotated[Source, SOURCE]
    schema_version: Annotated[int, VERSION] = SCHEMA_VERSION


Enriched = EnrichedAd | EnrichedOrder | EnrichedSocial

ENRICHED: dict[str, type[Enriched]] = {"clicks": EnrichedAd, "orders": EnrichedOrder, "social": EnrichedSocial}
"""By input topic; each struct begins with the fields of its input, in the same order."""
