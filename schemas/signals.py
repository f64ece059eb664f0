"""What models may say: topics ``anomalies`` and ``churn.risk``.

Each signal carries its evidence. Easy to get wrong: a model that is still warming up says so (``state``); a score of 0
would read as "normal".
"""

from typing import Annotated, Literal

from msgspec import Struct

from schemas.fields import SCHEMA_VERSION, CampaignId, Channel, EpochMs, Share, UserHash, doc

__all__ = ["Anomaly", "ChurnReason", "ChurnRisk"]

MODEL = doc("Name of the model.")
MODEL_VERSION = doc("Version of the model: its code and its parameters.")
VERSION = doc("Version of this contract.", ge=1)


class Anomaly(Struct, kw_only=True, frozen=True):
    """How far a value of a watched series lies from what was expected."""

    series: Annotated[str, doc("Identity of the series: scope, channel, campaign, metric; also the record's key.")]
    scope: Annotated[Literal["channel", "campaign"], doc("Whether it watches a channel or one campaign.")]
    channel: Annotated[Channel, doc("Marketing channel.")]
    campaign_id: Annotated[CampaignId | None, doc("The campaign; null at channel scope.")]
    metric: Annotated[str, doc("What is watched.", examples=["ctr"])]
    start_ms: Annotated[EpochMs, doc("First moment of the interval judged, epoch milliseconds.")]
    end_ms: Annotated[EpochMs, doc("First moment after it, epoch milliseconds.")]
    state: Annotated[Literal["warming_up", "normal", "anomalous", "unknown"], doc(
        "The verdict; unknown when there was no value to judge.")]
    score: Annotated[Share | None, doc("0 as expected, 1 never seen; null while warming up or unknown.")]
    value: Annotated[float | None, doc("What came, in the metric's unit; null when unknown.")]
    expected: Annotated[float | None, doc("What was expected, in the metric's unit.")]
    lower: Annotated[float | None, doc("Lower end of the expected interval.")]
    upper: Annotated[float | None, doc("Upper end of the expected interval.")]
    watermark_ms: Annotated[EpochMs | None, doc(
        "Event time that all sources had passed, epoch milliseconds.")]
    model: Annotated[str, MODEL]
    model_version: Annotated[str, MODEL_VERSION]
    schema_version: Annotated[int, VERSION] = SCHEMA_VERSION


class ChurnReason(Struct, frozen=True):
    """One of the things that moved a score most."""

    feature: Annotated[str, doc("What was looked at.", examples=["days_since_last_order"])]
    value: Annotated[float, doc("Its value, in the feature's unit.")]
    effect: Annotated[float, doc("By how much it moved the log-odds; positive means more risk.")]


class ChurnRisk(Struct, kw_only=True, frozen=True):
    """How likely a person is not to come back."""

    user_id: Annotated[UserHash, doc("Keyed hash of the person's id, also the record's key.")]
    probability: Annotated[Share, doc("Probability of not ordering again within the horizon.")]
    band: Annotated[Literal["low", "medium", "high"], doc("The probability in words.")]
    reasons: Annotated[list[ChurnReason], doc("What moved it most, strongest first.", max_length=3)]
    as_of_ms: Annotated[EpochMs, doc("Event time of the newest event considered, epoch milliseconds.")]
    horizon_ms: Annotated[int, doc("How far ahead it looks, milliseconds.", ge=1)]
    model: Annotated[str, MODEL]
    model_version: Annotated[str, MODEL_VERSION]
    schema_version: Annotated[int, VERSION] = SCHEMA_VERSION
