"""What a person is told: topic ``alerts``, compacted, one key per episode.

An episode begins when a rule's condition has held long enough, and ends when it is over. Easy to get wrong: missing
data never ends an episode; it sets ``data`` to ``missing`` and leaves the state alone.
"""

from typing import Annotated, Literal

from msgspec import Struct

from schemas.fields import SCHEMA_VERSION, CampaignId, Channel, Count, EpochMs, MoneyByCurrency, Text, doc

__all__ = ["Alert", "Evidence"]


class Evidence(Struct, kw_only=True, frozen=True):
    """What decided it."""

    metric: Annotated[str, doc("What was looked at.", examples=["conversion"])]
    value: Annotated[float | None, doc("What came, in the metric's unit; null when unknown.")]
    threshold: Annotated[float | None, doc("The rule's limit, in the metric's unit.")]
    lower: Annotated[float | None, doc("Lower end of the value's interval.")]
    upper: Annotated[float | None, doc("Upper end of the value's interval.")]
    volume: Annotated[Count, doc("Size of the denominator: how much data the value rests on.")]
    windows: Annotated[list[str], doc("Keys of the windows in `campaign.windows` that were read.")]


class Alert(Struct, kw_only=True, frozen=True):
    """An episode of a rule that fired."""

    id: Annotated[str, doc("Identity of the episode, the same in every message about it; also the record's key.")]
    revision: Annotated[Count, doc("Counts up with each change of the episode; the highest is the newest.")]
    rule: Annotated[str, doc("Name of the rule.")]
    rule_version: Annotated[str, doc("Digest of the rule's text.")]
    severity: Annotated[Literal["info", "warning", "critical"], doc("How urgent it is.")]
    state: Annotated[Literal["pending", "firing", "acknowledged", "resolved"], doc("Where the episode stands.")]
    data: Annotated[Literal["ok", "doubtful", "missing"], doc("Quality of the data under it.")]
    scope: Annotated[Literal["account", "channel", "campaign"], doc("What it is about.")]
    channel: Annotated[Channel | None, doc("Marketing channel; null for the whole account.")]
    campaign_id: Annotated[CampaignId | None, doc("The campaign; null unless it is about one.")]
    since_ms: Annotated[EpochMs, doc("Event time at which the condition began, epoch milliseconds.")]
    fired_ms: Annotated[EpochMs | None, doc("Event time at which it fired, epoch milliseconds.")]
    resolved_ms: Annotated[EpochMs | None, doc("Event time at which it was over, epoch milliseconds.")]
    summary: Annotated[Text, doc("What broke, in one sentence.")]
    action: Annotated[Text | None, doc("What to do about it.")]
    at_stake_per_hour_micros: Annotated[MoneyByCurrency, doc("What an hour of it costs, micros by currency.")]
    evidence: Annotated[list[Evidence], doc("What decided it.")]
    acknowledged_by: Annotated[Text | None, doc("Who took it.")]
    note: Annotated[Text | None, doc("What that person wrote.")]
    muted_by: Annotated[str | None, doc("The episode that explains this one, if there is one.")]
    schema_version: Annotated[int, doc("Version of this contract.", ge=1)] = SCHEMA_VERSION
