"""Any bytes give exactly one event or one reject, and both paths of the decoder agree."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import INPUTS
from schemas.reasons import TYPES, ErrorCode, RejectReason
from streams.decode import Decoded, Decoder, Reject, epoch_ms
from streams.decode_slow import SlowDecoder
from tests.builders import FLOOR, JSON, MOST_BYTES, NOW, SKEW, event, events, raw
from tests.hostile import HOSTILE, Case

DECODERS = {topic: Decoder(topic, floor_ms=FLOOR, skew_ms=SKEW, max_bytes=MOST_BYTES) for topic in INPUTS}
SLOW = {topic: SlowDecoder(topic) for topic in INPUTS}
topics = pytest.mark.parametrize("topic", INPUTS)


def decode(topic: str, value: bytes | None, timestamp_ms: int = NOW) -> Decoded | Reject:
    """Decode a record of a topic."""
    return DECODERS[topic].decode(value, timestamp_ms)


def accepted(topic: str, value: bytes, timestamp_ms: int = NOW) -> Decoded:
    """Decode a record that must be an event."""
    decoded = decode(topic, value, timestamp_ms)
    assert isinstance(decoded, Decoded), decoded
    return decoded


def rejected(topic: str, value: bytes | None, timestamp_ms: int = NOW) -> Reject:
    """Decode a record that must be rejected."""
    decoded = decode(topic, value, timestamp_ms)
    assert isinstance(decoded, Reject), decoded
    return decoded


# -- rejects -----------------------------------------------------------------


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.name)
def test_every_hostile_record_is_rejected_with_all_its_errors(case: Case) -> None:
    """Reason, paths and codes are exactly those of the corpus."""
    reject = rejected(case.topic, case.raw)
    assert (reject.reason, tuple((e.path, e.code) for e in reject.errors)) == (case.reason, case.errors)


def test_corpus_names_are_unique() -> None:
    """Two cases of one name would hide which of them failed."""
    assert len({case.name for case in HOSTILE}) == len(HOSTILE)


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.name)
def test_after_a_hostile_record_the_next_one_is_decoded(case: Case) -> None:
    """A decoder keeps nothing of what it has refused."""
    decoder = Decoder(case.topic, floor_ms=FLOOR, skew_ms=SKEW, max_bytes=MOST_BYTES)
    assert isinstance(decoder.decode(case.raw, NOW), Reject)
    assert isinstance(decoder.decode(raw(event(case.topic)), NOW), Decoded)


@pytest.mark.parametrize("field", ["user_id", "event_id", "type", "event_time", "cost_micros", "currency", "ip"])
def test_an_error_never_repeats_a_value(field: str) -> None:
    """What is personal stays in the raw bytes."""
    for value in ("ada.lovelace@example.org\n", "ada.lovelace@example.org" * 200, ["ada.lovelace@example.org"]):
        reject = rejected("clicks", raw(event("clicks", **{field: value}, name="ada.lovelace")))
        assert "lovelace" not in repr(reject.errors)


def test_an_error_says_what_was_expected_and_what_kind_came() -> None:
    """Enough to mend the sender without looking at the record."""
    reject = rejected("clicks", raw(event("clicks", cost_micros="12", type="klick", event_time=1.5)))
    assert {error.path: error.detail for error in reject.errors} == {
        "$.type": "expected one of click, impression, pageview; got a string of 5 characters",
        "$.event_time": "expected an integer from -62135596800000 to 253402300799999 or an RFC 3339 time with offset; "
        "got a number",
        "$.cost_micros": "expected an integer from 0 to 1000000000000000; got a string of 2 characters",
    }


@topics
def test_a_reject_carries_the_type_if_it_is_known(topic: str) -> None:
    """The label `type` is one of the contract's, or unknown."""
    for kind in TYPES[topic]:
        assert rejected(topic, raw(event(topic, type=kind, user_id=None))).type == kind
        assert rejected(topic, raw(event(topic, type=kind, event_time=0, campaign_id="c", x=1))).type == kind
    others: list[object] = ["teleport", None, [], 3, {"type": "click"}]
    for other in others:
        assert rejected(topic, raw(event(topic, type=other))).type == "unknown"
    assert rejected(topic, b"{").type == "unknown"


def test_a_rule_is_not_reported_for_a_field_that_is_wrong_already() -> None:
    """One field, one error."""
    reject = rejected("clicks", raw(event("clicks", currency="?", campaign_id=3)))
    assert [(error.path, error.code) for error in reject.errors] == [
        ("$.campaign_id", ErrorCode.WRONG_TYPE),
        ("$.currency", ErrorCode.TOO_SHORT),
    ]


# -- time --------------------------------------------------------------------


@topics
@pytest.mark.parametrize("more", [{}, {"unknown": 1}], ids=["fast", "slow"])
def test_the_bounds_of_time_are_inclusive(topic: str, more: dict[str, Any]) -> None:
    """The floor and the last tolerated moment are accepted, one millisecond beyond is not."""
    for time in (FLOOR, NOW + SKEW):
        accepted(topic, raw(event(topic, event_time=time, **more)))
    assert rejected(topic, raw(event(topic, event_time=FLOOR - 1, **more))).reason == RejectReason.BEFORE_FLOOR
    assert rejected(topic, raw(event(topic, event_time=NOW + SKEW + 1, **more))).reason == RejectReason.IN_FUTURE


def test_a_record_without_kafka_time_cannot_be_judged() -> None:
    """It is rejected, and the error names the cause."""
    reject = rejected("clicks", raw(event("clicks")), -1)
    assert (reject.reason, reject.errors[0].path) == (RejectReason.IN_FUTURE, "$.event_time")
    assert "no Kafka time" in reject.errors[0].detail


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-01T00:00:00Z", NOW),
        ("2026-01-01T02:00:00+02:00", NOW),
        ("2025-12-31T19:30:00.000-04:30", NOW),
        ("2025-12-31T23:59:59.999999Z", NOW - 1),
        ("1997-01-01T00:00:00.5Z", 852_076_800_500),
    ],
)
@pytest.mark.parametrize("more", [{}, {"unknown": 1}], ids=["fast", "slow"])
def test_rfc_3339_becomes_epoch_milliseconds(text: str, expected: int, more: dict[str, Any]) -> None:
    """Offsets are applied, and parts of a millisecond cut."""
    time = accepted("clicks", raw(event("clicks", event_time=text, **more))).event.event_time
    assert type(time) is int
    assert time == expected


@given(st.integers(FLOOR, NOW), st.integers(-1_439, 1_439))
def test_a_time_means_the_same_in_either_form(time_ms: int, offset_minutes: int) -> None:
    """Whether a sender writes milliseconds or RFC 3339 with any offset, the event is the same."""
    zone = timezone(timedelta(minutes=offset_minutes))
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    text = moment.astimezone(zone).isoformat()
    assert epoch_ms(moment) == time_ms
    assert accepted("clicks", raw(event("clicks", event_time=text))) == accepted(
        "clicks", raw(event("clicks", event_time=time_ms))
    )


# -- events ------------------------------------------------------------------


@topics
@given(st.data())
def test_valid_events_come_through_unchanged(topic: str, data: st.DataObject) -> None:
    """Each field that was sent is in the event, each that was not is None; nothing is extra."""
    fields = data.draw(events(topic))
    decoded = accepted(topic, data.draw(st.sampled_from([raw, _escaped]))(fields))
    sent = {name: fields.get(name) for name in INPUTS[topic].__struct_fields__}
    assert msgspec.structs.asdict(decoded.event) == sent
    assert decoded.extra == {}


@topics
@given(st.data())
def test_an_event_can_be_encoded_and_read_again(topic: str, data: st.DataObject) -> None:
    """Nothing that is accepted explodes later, as a lone surrogate or a huge number would."""
    decoded = accepted(topic, raw({**data.draw(events(topic)), "more": data.draw(JSON)}))
    again = accepted(topic, msgspec.json.encode(decoded.event))
    assert again.event == decoded.event
    msgspec.json.encode(decoded.extra)
    msgspec.msgpack.encode(decoded.event)


def _escaped(fields: Any) -> bytes:
    """Return JSON in ASCII, as most Python producers write it."""
    return json.dumps(fields).encode()


def test_a_free_order_and_a_pageview_without_campaign_are_events() -> None:
    """Zero and nothing are not mistakes here."""
    accepted("orders", raw(event("orders", revenue_micros=0)))
    accepted("clicks", raw({"event_id": "e", "type": "pageview", "event_time": NOW, "user_id": "u"}))


def test_line_breaks_belong_to_text() -> None:
    """Only fields that become keys or labels must be free of control characters."""
    decoded = accepted("social", raw(event("social", text="one\ntwo\t\x7f")))
    assert msgspec.structs.asdict(decoded.event)["text"] == "one\ntwo\t\x7f"


def test_the_last_of_a_repeated_name_counts() -> None:
    """In both paths, whatever the earlier values were."""
    for earlier in (b'"u0"', b"7", b'"' + b"x" * 300 + b'"'):
        for more in (b"", b', "unknown": 1'):
            value = raw(event("clicks")).replace(b'"user_id"', b'"user_id": ' + earlier + b', "user_id"')
            assert accepted("clicks", value[:-1] + more + b"}").event.user_id == "u1"


def test_a_record_of_exactly_the_limit_is_read() -> None:
    """The limit itself is allowed."""
    value = raw(event("clicks"))
    accepted("clicks", value + b" " * (MOST_BYTES - len(value)))


def test_unknown_fields_are_kept_and_personal_ones_dropped() -> None:
    """At any depth, whatever the case of their names."""
    fields = event("clicks", coupon="X", Email="a@b.c", cart={"items": [{"sku": 1, "customer_phone": "2"}]}, none=None)
    assert accepted("clicks", raw(fields)).extra == {"coupon": "X", "cart": {"items": [{"sku": 1}]}, "none": None}


def test_nesting_up_to_the_limit_is_read() -> None:
    """64 levels, however many brackets stand side by side or in strings."""
    fields = event("clicks", wide=[[]] * 2_000, brackets="[" * 2_000)
    value = raw(fields)[:-1] + b', "deep": ' + b"[" * 63 + b"]" * 63 + b"}"
    assert set(accepted("clicks", value).extra) == {"wide", "brackets"}


# -- any bytes ---------------------------------------------------------------


@topics
@given(st.binary(max_size=200) | st.none(), st.integers(-1, 2**63 - 1))
def test_any_bytes_give_one_outcome(topic: str, value: bytes | None, timestamp_ms: int) -> None:
    """Nothing is raised, and a reject says at least one thing."""
    reject = rejected(topic, value, timestamp_ms)
    assert reject.errors


@topics
@given(JSON)
def test_any_json_gives_one_outcome(topic: str, value: Any) -> None:
    """JSON that is no event is a reject, never an exception."""
    rejected(topic, json.dumps(value).encode("utf-8", "surrogatepass"))


@st.composite
def _mutated(draw: st.DrawFn, topic: str) -> bytes:
    """Return a valid event in which fields or bytes were changed."""
    fields = draw(events(topic))
    for name in draw(st.lists(st.sampled_from(INPUTS[topic].__struct_fields__), max_size=2)):
        if draw(st.booleans()):
            fields.pop(name, None)
        else:
            fields[name] = draw(JSON)
    if draw(st.booleans()):
        fields[draw(st.text(st.characters(codec="utf-8"), max_size=8))] = draw(JSON)
    value = bytearray(draw(st.sampled_from([raw, _escaped]))(fields))
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, len(value)))
        value[start : start + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(value)


@topics
@given(st.data())
def test_both_paths_agree(topic: str, data: st.DataObject) -> None:
    """The fast path is a shortcut: without it every record would be judged the same."""
    value = data.draw(_mutated(topic))
    decoded = decode(topic, value)
    if not value:
        return
    slowly = SLOW[topic].decode(value)
    if isinstance(slowly, Decoded):
        event_time: Any = slowly.event.event_time
        if isinstance(event_time, datetime):
            slowly.event.event_time = epoch_ms(event_time)
        if isinstance(decoded, Reject):
            assert decoded.reason in (RejectReason.BEFORE_FLOOR, RejectReason.IN_FUTURE)
            return
    assert decoded == slowly
    if isinstance(decoded, Reject):
        assert decoded.errors
        assert decoded.type in (*TYPES[topic], "unknown")
