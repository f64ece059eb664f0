"""The hostile corpus is surely rejected, for the reason it names; repeats are never too old."""

from random import Random

import orjson
import pytest

from streams.decode import Decoder, Reject
from streams.simulate.faults import HOSTILE, OVERSIZE, REPEAT_WITHIN_MS, Hostile, Past, Sent, contradict, hostile

NOW = 1_767_225_600_000
GOOD = {
    "clicks": {"event_id": "e1", "type": "click", "event_time": NOW, "user_id": "u1", "campaign_id": "c1",
               "cost_micros": 5, "currency": "EUR"},
    "orders": {"event_id": "e1", "type": "order", "event_time": NOW, "user_id": "u1", "order_id": "o1",
               "revenue_micros": 5, "currency": "EUR"},
    "social": {"event_id": "e1", "type": "like", "event_time": NOW, "user_id": "u1", "platform": "x"},
}


@pytest.mark.parametrize("topic", GOOD)
@pytest.mark.parametrize("kind", [*HOSTILE, OVERSIZE], ids=lambda kind: kind.name)
def test_every_hostile_record_is_rejected_for_its_reason(topic: str, kind: Hostile) -> None:
    """Whatever good event it was made from, the decoder names the reason that the corpus names."""
    decoder = Decoder(topic, floor_ms=631_152_000_000, skew_ms=600_000, max_bytes=262_144)
    decoded = decoder.decode(kind.make(orjson.dumps(GOOD[topic])), NOW)
    assert isinstance(decoded, Reject)
    assert decoded.reason == kind.reason


def test_hostile_draws_from_the_whole_corpus() -> None:
    """Each reason of the corpus is met."""
    random = Random(1)
    reasons = {hostile(random, orjson.dumps(GOOD["clicks"]))[1] for _ in range(3_000)}
    assert reasons == {kind.reason for kind in HOSTILE} | {"too_large"}


def test_nothing_is_picked_from_an_empty_past() -> None:
    """A run cannot begin with a repeat."""
    assert Past(Random(1)).pick(NOW) is None


def test_a_repeat_is_young_enough_to_be_recognised() -> None:
    """What left the dedupe horizon behind is not repeated, since nobody could say what it is then."""
    past = Past(Random(1))
    for number in range(5_000):
        past.keep(Sent(NOW + number, "clicks", b"u", b"%d" % number))
    assert past.pick(NOW + 5_000) is not None
    assert all(past.pick(NOW + 5_000 + REPEAT_WITHIN_MS) is None for _ in range(50))


def test_repeats_come_soon_and_late() -> None:
    """Both a retry at once and a queue flushed later are simulated."""
    past = Past(Random(1))
    for number in range(50_000):
        past.keep(Sent(NOW + number, "clicks", b"u", b""))
    ages = [NOW + 50_000 - sent.time_ms for _ in range(200) if (sent := past.pick(NOW + 50_000))]
    assert min(ages) <= 512
    assert max(ages) > 20_000


@pytest.mark.parametrize("topic", GOOD)
def test_a_contradiction_keeps_the_id_and_changes_a_known_field(topic: str) -> None:
    """It stays a valid event of the same user."""
    other = orjson.loads(contradict(Sent(NOW, topic, b"u1", orjson.dumps(GOOD[topic]))))
    changed = {name for name in other if other[name] != GOOD[topic].get(name)}
    assert len(changed) == 1
    assert not changed & {"event_id", "user_id", "type"}
