"""Outputs: what we encode satisfies the published schema and reads back as it was."""

from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from schemas.alerts import Alert, Evidence
from schemas.campaigns import Campaign
from schemas.dead_letters import DeadLetter, FieldError
from schemas.enriched import ENRICHED, CampaignInfo, EnrichedAd, EnrichedOrder, EnrichedSocial, Source
from schemas.events import INPUTS
from schemas.generate import json_schema
from schemas.ledger import LedgerMinute
from schemas.reasons import ErrorCode, Outcome, RejectReason
from schemas.signals import Anomaly, ChurnReason, ChurnRisk
from schemas.topics import TOPICS
from schemas.windows import LEVELS, STATES, CampaignWindow
from tests.builders import NOW

USER = "0123456789abcdef" * 2
SOURCE = Source("test.clicks", 3, 12)
INFO = CampaignInfo(name="Spring", channel="search", budget_micros=5, currency="EUR", start=0, end=NOW, owner="brand")

RECORDS: dict[str, Any] = {
    "campaigns": Campaign("c1", name="Spring", channel="search", budget_micros=5, currency="EUR", start=0, end=NOW),
    "clicks.enriched": EnrichedAd(
        "e1", "click", NOW, USER, "c1", "search", None, 250_000, "EUR", None, "/", USER, None, None,
        Outcome.LATE.value, INFO, {"coupon": {"code": "X"}}, SOURCE,
    ),
    "orders.enriched": EnrichedOrder(
        "e1", "order", NOW, USER, "o1", 1_500_000, "EUR", 2, None, "unknown", True, "accepted", None, {}, SOURCE
    ),
    "social.enriched": EnrichedSocial(
        "e1", "review", NOW, USER, "instagram", "c1", "social", "fine", 0.5, 4, "accepted", INFO, {}, SOURCE
    ),
    "campaign.windows": CampaignWindow(
        id="campaign/search/c1/1m/0", scope="campaign", channel="search", campaign_id="c1", watermark_ms=NOW,
        spend_micros={"EUR": 2**62}, interactions={"like": 1},
    ),
    "anomalies": Anomaly(
        series="channel/search//ctr", scope="channel", channel="search", campaign_id=None, metric="ctr", start_ms=0,
        end_ms=60_000, state="warming_up", score=None, value=0.5, expected=None, lower=None, upper=None,
        watermark_ms=None, model="habituation", model_version="1",
    ),
    "churn.risk": ChurnRisk(
        user_id=USER, probability=0.75, band="high", reasons=[ChurnReason("gap", 2.5, -0.5)], as_of_ms=NOW,
        horizon_ms=1, model="logistic", model_version="1",
    ),
    "alerts": Alert(
        id="a1", revision=1, rule="no-orders", rule_version="ab12", severity="critical", state="firing", data="ok",
        scope="account", channel=None, campaign_id=None, since_ms=0, fired_ms=1, resolved_ms=None, summary="No orders",
        action=None, at_stake_per_hour_micros={"EUR": 1}, acknowledged_by=None, note=None, muted_by=None,
        evidence=[Evidence(metric="orders", value=None, threshold=0.5, lower=None, upper=None, volume=0, windows=[])],
    ),
    "ledger": LedgerMinute(
        topic="clicks", minute_ms=0, revision=1, records_in=5, accepted=1, late=1, duplicate=1, conflict=1, rejected=1,
        absent=0, unexplained=0, spend_in_micros={"EUR": 1}, spend_out_micros={"EUR": 1},
    ),
    "dead-letters": DeadLetter(
        RejectReason.INVALID_SCHEMA, [FieldError("$.type", ErrorCode.MISSING, "expected one of click")], b"\xff{", 2,
        "ab" * 32, SOURCE,
    ),
}  # fmt: skip


def test_there_is_a_record_of_every_output() -> None:
    """The tests below leave no contract out."""
    public = {name for name, contract in TOPICS.items() if contract.schema is not None}
    assert set(RECORDS) == public - set(INPUTS)


@pytest.mark.parametrize("topic", RECORDS)
def test_what_we_write_satisfies_the_schema(topic: str) -> None:
    """And what we read back is what was written."""
    encoded = msgspec.json.encode(RECORDS[topic])
    Draft202012Validator(json_schema(TOPICS[topic])).validate(msgspec.json.decode(encoded))
    assert msgspec.json.decode(encoded, type=TOPICS[topic].schema) == RECORDS[topic]


@pytest.mark.parametrize("topic", INPUTS)
def test_an_enriched_record_begins_with_the_fields_of_its_input(topic: str) -> None:
    """In the same order and under the same names, so it can be built from the event."""
    fields = INPUTS[topic].__struct_fields__
    enriched = ENRICHED[topic].__struct_fields__
    assert enriched[: len(fields)] == fields
    assert enriched[len(fields) :] == ("outcome", "campaign", "extra", "source", "schema_version")


def test_what_is_known_of_a_campaign_is_its_record() -> None:
    """The nested object has the same fields as the reference data, without the id that stands beside it."""
    assert CampaignInfo.__struct_fields__ == Campaign.__struct_fields__[1:]


def test_a_dead_letter_of_no_value_differs_from_one_of_no_bytes() -> None:
    """Null is a record without a value, the empty string an empty one."""
    for raw, text in ((None, b'"raw_b64":null'), (b"", b'"raw_b64":""'), (b"\xff", b'"raw_b64":"/w=="')):
        letter = DeadLetter(RejectReason.EMPTY, [], raw, 0, "ab" * 32, SOURCE)
        assert text in msgspec.json.encode(letter)


@pytest.mark.parametrize("campaign_id", [None, "", "c1"])
def test_a_window_may_be_of_a_channel_of_no_campaign_or_of_one(campaign_id: str | None) -> None:
    """All three can be written by the schema and read again."""
    encoded = msgspec.json.encode(CampaignWindow(campaign_id=campaign_id))
    Draft202012Validator(json_schema(TOPICS["campaign.windows"])).validate(msgspec.json.decode(encoded))
    assert msgspec.json.decode(encoded, type=CampaignWindow).campaign_id == campaign_id


def test_levels_and_states_are_those_of_the_contract() -> None:
    """The constants and the schema say the same."""
    fields = json_schema(TOPICS["campaign.windows"])["properties"]
    assert sorted(LEVELS) == fields["level"]["enum"]
    assert sorted(STATES) == fields["state"]["enum"]
