"""What was counted in a window of event time: topic ``campaign.windows``, compacted.

Counts and money only, no ratios: those can be made from sums, sums not from ratios. A window is *provisional* while
events may still arrive in order, then *final*; a later event makes it *revised*. Easy to get wrong: the topic may
repeat or reorder publications after a crash, so a reader keeps the highest ``revision`` per key.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from schemas.fields import NO_CONTROL_CHARACTERS, SCHEMA_VERSION, Channel, Count, EpochMs, MoneyByCurrency, doc

__all__ = ["LEVELS", "STATES", "CampaignWindow", "Level", "State"]

Level = Literal["1m", "5m", "1h", "1d"]
LEVELS: tuple[Level, ...] = ("1m", "5m", "1h", "1d")
"""Published lengths of windows, shortest first."""

# Not CampaignId | Literal[""]: msgspec then asks the empty text for CampaignId's length too.
CampaignOrNone = Annotated[str, Meta(max_length=128, extra_json_schema={"pattern": NO_CONTROL_CHARACTERS})]

State = Literal["provisional", "final", "revised"]
STATES: tuple[State, ...] = ("provisional", "final", "revised")


class CampaignWindow(Struct, kw_only=True):
    """The counts of one channel, or of one campaign in one channel, in one window.

    >>> CampaignWindow(impressions=400, clicks=10).impressions
    400
    """

    id: Annotated[str, doc("Identity: scope, channel, campaign, level, start; also the record's key.")] = ""
    scope: Annotated[Literal["channel", "campaign"], doc("Sum over a channel, or one campaign within it.")] = "channel"
    channel: Annotated[Channel, doc("Marketing channel.")] = "unknown"
    campaign_id: Annotated[CampaignOrNone | None, doc(
        "The campaign; null at channel scope, empty for events without one.")] = None
    level: Annotated[Level, doc("Length of the window.")] = "1m"
    start_ms: Annotated[EpochMs, doc("First moment, epoch milliseconds.")] = 0
    end_ms: Annotated[EpochMs, doc("First moment after it, epoch milliseconds.")] = 60_000
    state: Annotated[State, doc("Whether the numbers can still change.")] = "provisional"
    revision: Annotated[Count, doc("Counts up with each publication of this window; the highest is the newest.")] = 0
    watermark_ms: Annotated[EpochMs | None, doc(
        "Event time that all sources had passed when it was published, epoch milliseconds.")] = None
    impressions: Annotated[Count, doc("Advertisements shown.")] = 0
    clicks: Annotated[Count, doc("Advertisements clicked.")] = 0
    pageviews: Annotated[Count, doc("Pages visited.")] = 0
    orders: Annotated[Count, doc("Orders.")] = 0
    refunds: Annotated[Count, doc("Refunds.")] = 0
    spend_micros: Annotated[MoneyByCurrency, doc("Cost of advertising, micros by currency.")] = field(
        default_factory=dict)
    revenue_micros: Annotated[MoneyByCurrency, doc("Value of orders, gross, micros by currency.")] = field(
        default_factory=dict)
    refund_micros: Annotated[MoneyByCurrency, doc("Value of refunds, positive, micros by currency.")] = field(
        default_factory=dict)
    interactions: Annotated[dict[str, Count], doc("Social interactions by type.")] = field(default_factory=dict)
    schema_version: Annotated[int, doc("Version of this contract.", ge=1)] = SCHEMA_VERSION
