"""Seen ids: remembered for the whole horizon, forgotten after it, the same however slices are cut."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.dedupe import HOUR_MS, SeenIds, SliceIds, event_key, fields_digest, pack_ids, unpack_ids

HORIZON = 3 * HOUR_MS
IDS = st.tuples(st.binary(min_size=16, max_size=16), st.integers(0, 2**63), st.binary(min_size=8, max_size=8))


class Event(msgspec.Struct):
    """Some known fields."""

    event_id: str
    amount: int | None = None


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def digest(number: int = 0) -> bytes:
    return number.to_bytes(8, "big")


@given(st.lists(IDS))
def test_packing_and_back(rows: list[tuple[bytes, int, bytes]]) -> None:
    """Every id comes back, in 32 bytes each."""
    blob = pack_ids(rows)
    assert len(blob) == 32 * len(rows)
    assert list(unpack_ids(blob)) == rows


def test_blob_of_a_wrong_length_is_refused() -> None:
    """Half an id is an error, not a shorter list."""
    import struct

    with pytest.raises(struct.error):
        list(unpack_ids(b"x" * 33))


@given(st.text(max_size=5), st.text(max_size=5), st.text(max_size=5), st.text(max_size=5))
def test_keys_are_of_user_and_event(user: str, event: str, other_user: str, other_event: str) -> None:
    """Two events share a key only if user and id are the same, wherever the border between them lies."""
    same = (user, event) == (other_user, other_event)
    assert (event_key(user, event) == event_key(other_user, other_event)) is same
    assert len(event_key(user, event)) == 16


def test_border_between_user_and_event_matters() -> None:
    """Nobody can choose a user id that makes another user's event a repeat."""
    assert event_key("a\x00b", "c") != event_key("a", "b\x00c")
    assert event_key("1 a", "b") != event_key("1", " ab")
    assert event_key("ab", "c") != event_key("a", "bc")


def test_digest_tells_fields_apart() -> None:
    """A retry has the same digest; another amount, or none, has another."""
    assert fields_digest(Event("e", 1)) == fields_digest(Event("e", 1))
    assert len({fields_digest(event) for event in (Event("e", 1), Event("e", 2), Event("e"), Event("f", 1))}) == 4


@given(st.integers(0, 40 * HOUR_MS), st.none() | st.integers(0, 40 * HOUR_MS), st.integers(0, 40 * HOUR_MS))
def test_remembered_at_least_the_horizon(time: int, arrival: int | None, later: int) -> None:
    """A repeat is known while the watermark is less than the horizon past the event, and past its arrival."""
    seen = SeenIds(horizon_ms=HORIZON)
    seen.add(SeenIds.generation(time, arrival), 0, pack_ids([(key(1), 7, digest())]))
    since = max(time, arrival if arrival is not None else time)
    for generation, chunk in seen.expired(later):
        seen.drop(generation, chunk)
    if later - since < HORIZON:
        assert seen.get(key(1), later) == (7, digest())
    if later - since >= HORIZON + HOUR_MS:
        assert seen.get(key(1), later) is None
        assert len(seen) == 0
    assert seen.get(key(1), None) is None or len(seen) == 1


def test_horizon_does_not_wait_for_the_dropping() -> None:
    """What is past the horizon is unknown even while its chunk is still there: slices may be cut anywhere."""
    seen = SeenIds(horizon_ms=HORIZON)
    seen.add(0, 0, pack_ids([(key(1), 7, digest())]))
    assert seen.get(key(1), HORIZON + HOUR_MS - 1) == (7, digest())
    assert seen.get(key(1), HORIZON + HOUR_MS) is None


def test_id_that_came_again_survives_its_old_chunk() -> None:
    """The newer occurrence is dropped with its own chunk only, in whatever order chunks are loaded."""
    seen = SeenIds(horizon_ms=HORIZON)
    seen.add(0, 10, pack_ids([(key(1), 10, digest()), (key(2), 11, digest())]))
    seen.add(9, 90, pack_ids([(key(1), 90, digest(5))]))
    backwards = SeenIds(horizon_ms=HORIZON)
    for chunk in reversed(list(seen.dump())):
        backwards.add(*chunk)
    backwards.drop(0, 10)
    assert backwards.get(key(1), None) == (90, digest(5))
    seen.drop(0, 10)
    assert seen.get(key(1), None) == (90, digest(5))
    assert seen.get(key(2), None) is None
    seen.drop(9, 90)
    assert len(seen) == 0
    assert list(seen.dump()) == []
    seen.drop(9, 90)  # once more does nothing


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5 * HOUR_MS)), max_size=60))
def test_dump_gives_the_same_memory(events: list[tuple[int, int]]) -> None:
    """A snapshot answers every question as the original does, now and at any later watermark."""
    seen = SeenIds(horizon_ms=HORIZON)
    for offset, (number, time) in enumerate(events):
        if seen.get(key(number), None) is None:
            seen.add(SeenIds.generation(time, None), offset, pack_ids([(key(number), offset, digest())]))
    copy = SeenIds(horizon_ms=HORIZON)
    for generation, chunk, blob in seen.dump():
        copy.add(generation, chunk, blob)
    for watermark in (None, 0, 4 * HOUR_MS, 6 * HOUR_MS, 9 * HOUR_MS):
        assert sorted(copy.expired(watermark)) == sorted(seen.expired(watermark))
        for number in range(31):
            assert copy.get(key(number), watermark) == seen.get(key(number), watermark)
    seen.clear()
    assert len(seen) == 0
    assert list(seen.dump()) == []


EVENTS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 8 * HOUR_MS)), max_size=50)


def judged(events: list[tuple[int, int]], cuts: set[int]) -> tuple[list[bool], dict[bytes, object]]:
    """Judge events, with a watermark that follows the newest time, in slices that begin at ``cuts``."""
    seen = SeenIds(horizon_ms=HORIZON)
    fresh, start = SliceIds(seen), 0
    watermark: int | None = None
    verdicts = []

    def close() -> None:
        for generation, blob in fresh.chunks():
            seen.add(generation, start, blob)
        for generation, chunk in seen.expired(watermark):
            seen.drop(generation, chunk)

    for offset, (number, time) in enumerate(events):
        if offset in cuts:
            close()
            fresh, start = SliceIds(seen), offset
        first = fresh.get(key(number), watermark)
        verdicts.append(first is None)
        if first is None:
            fresh.add(key(number), offset, digest(), SeenIds.generation(time, watermark))
        watermark = max(watermark or 0, time)
    close()
    return verdicts, {key(number): seen.get(key(number), watermark) for number in range(13)}


def test_horizon_may_pass_within_a_slice() -> None:
    """An id at the beginning of a slice can be forgotten before its end."""
    events = [(1, 0), (2, 8 * HOUR_MS), (1, 8 * HOUR_MS), (1, 8 * HOUR_MS)]
    assert judged(events, set())[0] == [True, True, True, False] == judged(events, {1, 2, 3})[0]


@given(EVENTS, st.sets(st.integers(0, 50)))
def test_verdicts_do_not_depend_on_slices(events: list[tuple[int, int]], cuts: set[int]) -> None:
    """One slice, or many: the same events are new, the same ones remembered."""
    assert judged(events, cuts) == judged(events, set()) == judged(events, set(range(50)))


def test_slice_shows_only_its_own_ids_as_changes() -> None:
    """Nothing of a slice reaches the memory by itself."""
    seen = SeenIds(horizon_ms=HORIZON)
    seen.add(1, 0, pack_ids([(key(1), 0, digest())]))
    fresh = SliceIds(seen)
    assert fresh.get(key(1), None) == (0, digest())
    fresh.add(key(2), 5, digest(), 1)
    fresh.add(key(3), 6, digest(), 2)
    assert fresh.get(key(2), None) == (5, digest())
    assert {generation: list(unpack_ids(blob)) for generation, blob in fresh.chunks()} == {
        1: [(key(2), 5, digest())],
        2: [(key(3), 6, digest())],
    }
    assert len(seen) == 1
