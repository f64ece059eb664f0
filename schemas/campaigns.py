"""Reference data: what is known of a campaign besides its events. Topic ``campaigns``, compacted, one record each.

Easy to get wrong: unknown fields are ignored here, not rejected, so that whoever keeps the campaigns can add to them.
"""

from typing import Annotated

from msgspec import Struct

from schemas.fields import CampaignId, Channel, Currency, EpochMs, Micros, Text, doc

__all__ = ["Campaign"]


class Campaign(Struct, frozen=True):
    """One campaign; an empty record under its key removes it."""

    campaign_id: Annotated[CampaignId, doc("Identity, also the record's key.")]
    name: Annotated[Text | None, doc("Name for people.")] = None
    channel: Annotated[Channel | None, doc("Marketing channel of events that name only the campaign.")] = None
    budget_micros: Annotated[Micros | None, doc("Planned spend from start to end, micros of `currency`.")] = None
    currency: Annotated[Currency | None, doc("ISO 4217 code of `budget_micros`.")] = None
    start: Annotated[EpochMs | None, doc("First moment, epoch milliseconds.")] = None
    end: Annotated[EpochMs | None, doc("First moment after it, epoch milliseconds.")] = None
    owner: Annotated[Text | None, doc("Team that runs it.")] = None
