"""Enriched records and dead letters: what they say, and what they never say."""

from hashlib import sha256
from typing import Any

import msgspec
import pytest

from schemas.dead_letters import MOST_RAW_BYTES, DeadLetter, FieldError
from schemas.enriched import ENRICHED, EnrichedAd
from schemas.reasons import ErrorCode, Outcome, RejectReason
from streams.decode import Decoded, Decoder, Reject
from streams.enrich import Enriched, Enricher
from streams.privacy import Hasher
from streams.reference import Reference
from tests.streams.harness import BASE, RECEIVED, Raw, ad, order, social

BUILD: dict[str, Any] = {"clicks": ad, "orders": order, "social": social}


def enricher(topic: str, *campaigns: bytes) -> Enricher:
    reference = Reference()
    for campaign in campaigns:
        assert reference.put(None, campaign)
    return Enricher(topic, f"test.{topic}", 3, Hasher("key"), reference)


def enrich(made: Enricher, topic: str, raw: bytes, outcome: Outcome = Outcome.ACCEPTED) -> Enriched:
    decoded = Decoder(topic, floor_ms=0, skew_ms=0, max_bytes=10_000).decode(raw, RECEIVED)
    assert isinstance(decoded, Decoded)
    return made.enrich(decoded.event, decoded.extra, outcome, 42)


FULL = {
    "clicks": {
        "ad_id": "a1", "cost_micros": 5, "currency": "EUR", "session_id": "s1", "page": "/p", "user_agent": "UA",
        "variant": "B", "campaign_id": "c1", "channel": "search",
    },
    "orders": {
        "order_id": "o1", "revenue_micros": 7, "currency": "USD", "quantity": 2, "campaign_id": "c1",
        "channel": "email", "new_customer": True,
    },
    "social": {
        "platform": "p", "campaign_id": "c1", "channel": "video", "text": "Hm", "sentiment": -0.5, "rating": 2,
    },
}  # fmt: skip


@pytest.mark.parametrize("topic", FULL)
def test_every_field_arrives_under_its_name(topic: str) -> None:
    """All fields of the input are in the output, with outcome, campaign, unknown fields and position."""
    raw = BUILD[topic]("e1", 1, "person", colour="green", **FULL[topic])
    made = enricher(topic, b'{"campaign_id":"c1","name":"Spring","owner":"team"}')
    enriched = enrich(made, topic, raw, Outcome.LATE)
    value = enriched.row[1] or b""
    record = msgspec.json.decode(value)
    assert {name: record[name] for name in FULL[topic]} == FULL[topic]
    assert (record["event_id"], record["event_time"], record["outcome"]) == ("e1", BASE + 1_000, "late")
    assert (record["extra"], record["campaign"]["owner"]) == ({"colour": "green"}, "team")
    assert record["source"] == {"topic": f"test.{topic}", "partition": 3, "offset": 42}
    assert record["user_id"] == Hasher("key").user("person")
    assert enriched.row[0] == record["user_id"].encode()
    msgspec.json.decode(value, type=ENRICHED[topic])


def test_no_personal_id_leaves() -> None:
    """User id and address leave as hashes only, and the record's key is the hash too."""
    row = enrich(enricher("clicks"), "clicks", ad(1, 0, "person-7", ip="192.0.2.7")).row
    assert b"person-7" not in b"".join(filter(None, row))
    assert b"192.0.2.7" not in (row[1] or b"")
    assert msgspec.json.decode(row[1] or b"", type=EnrichedAd).ip == Hasher("key").ip("192.0.2.7")


@pytest.mark.parametrize(
    ("own", "known", "channel", "mismatches"),
    [
        ("search", None, "search", 0),
        ("search", "search", "search", 0),
        ("search", "email", "search", 1),
        (None, "email", "email", 0),
        (None, None, "unknown", 0),
    ],
)
def test_the_events_own_channel_wins(own: str | None, known: str | None, channel: str, mismatches: int) -> None:
    """Else the campaign's counts, else `unknown`; a difference is counted, not corrected."""
    made = enricher("clicks", msgspec.json.encode({"campaign_id": "c1", "channel": known}))
    enriched = enrich(made, "clicks", ad(1, 0, channel=own))
    assert (enriched.channel, enriched.campaign, made.mismatches) == (channel, "c1", mismatches)
    assert msgspec.json.decode(enriched.row[1] or b"")["channel"] == channel


def test_an_event_without_a_campaign() -> None:
    """It counts under no campaign; the record says null, not an empty name."""
    enriched = enrich(enricher("orders"), "orders", order(1, 0))
    assert enriched.campaign == ""
    assert msgspec.json.decode(enriched.row[1] or b"")["campaign_id"] is None


def test_the_same_record_gives_the_same_bytes() -> None:
    """Written again after a crash, an enriched record is the same."""
    rows = {enrich(enricher("orders"), "orders", order(1, 0, b=1, a=2)).row for _ in range(3)}
    assert len(rows) == 1


def dead_letter(value: bytes | None) -> tuple[bytes | None, DeadLetter]:
    errors = [FieldError("$", ErrorCode.NOT_JSON, "expected JSON")]
    key, letter = enricher("clicks").dead_letter(Raw(42, value), Reject(RejectReason.MALFORMED, errors, "click"))
    return key, msgspec.json.decode(letter or b"", type=DeadLetter)


def test_dead_letter_holds_the_record() -> None:
    """Reason, errors, raw bytes and position are enough to mend and replay it."""
    key, letter = dead_letter(b"\xff{")
    assert key == b"test.clicks/3/42"
    assert (letter.reason, letter.errors[0].path, letter.raw_b64) == (RejectReason.MALFORMED, "$", b"\xff{")
    assert (letter.raw_bytes, letter.raw_sha256) == (2, sha256(b"\xff{").hexdigest())
    assert (letter.source.topic, letter.source.partition, letter.source.offset) == ("test.clicks", 3, 42)


@pytest.mark.parametrize("size", [MOST_RAW_BYTES, MOST_RAW_BYTES + 1])
def test_dead_letter_of_a_large_record_is_cut(size: int) -> None:
    """At most 64 KiB are kept; length and digest are those of the whole."""
    raw = b"x" * size
    _, letter = dead_letter(raw)
    assert letter.raw_b64 == raw[:MOST_RAW_BYTES]
    assert (letter.raw_bytes, letter.raw_sha256) == (size, sha256(raw).hexdigest())


def test_dead_letter_of_nothing() -> None:
    """No value at all is not the same as an empty one."""
    assert (dead_letter(None)[1].raw_b64, dead_letter(b"")[1].raw_b64) == (None, b"")
