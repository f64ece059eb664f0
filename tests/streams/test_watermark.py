"""The watermark rises only, never on one user's word, and depends on the records alone."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streams.watermark import MEMORY, PATIENCE, USERS, Watermark

ABSURD = 4_102_444_800_000  # the year 2100
RECORDS = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 500) | st.sampled_from([ABSURD, 10**12])), max_size=150
)
_pack, _unpack = msgspec.msgpack.encode, msgspec.msgpack.Decoder(Watermark).decode


def run(records: list[tuple[str, int]], mark: Watermark | None = None, start: int = 0) -> tuple[Watermark, list[int]]:
    """Feed records; return the watermark and its known values along the way."""
    mark, values = mark or Watermark(), []
    for index, (user, time) in enumerate(records):
        mark.observe(user, time, start + index)
        if mark.value is not None:
            values.append(mark.value)
    return mark, values


@given(RECORDS)
def test_it_only_rises(records: list[tuple[str, int]]) -> None:
    """Whatever comes, in whatever order."""
    values = run(records)[1]
    assert values == sorted(values)


@given(RECORDS)
def test_one_user_cannot_move_it_beyond_all_others(records: list[tuple[str, int]]) -> None:
    """At each moment at least two users have been seen at or beyond the watermark."""
    mark = Watermark()
    newest: dict[str, int] = {}
    for offset, (user, time) in enumerate(records):
        mark.observe(user, time, offset)
        newest[user] = max(time, newest.get(user, time))
        if mark.value is not None:
            assert sum(seen >= mark.value for seen in newest.values()) >= 2


@given(RECORDS, st.lists(st.integers(0, 150)))
def test_cutting_and_storing_change_nothing(records: list[tuple[str, int]], cuts: list[int]) -> None:
    """Slices work on copies, recovery on bytes: both continue exactly where the whole would be."""
    whole = run(records)[0]
    mark = Watermark()
    for offset, (user, time) in enumerate(records):
        if offset in cuts:
            mark = _unpack(_pack(mark)).copy()
        mark.observe(user, time, offset)
    assert mark == whole


@given(RECORDS, RECORDS)
def test_a_copy_is_independent(before: list[tuple[str, int]], after: list[tuple[str, int]]) -> None:
    """A slice that is thrown away leaves no trace."""
    mark = run(before)[0]
    bytes_before = _pack(mark)
    run(after, mark.copy(), len(before))
    assert _pack(mark) == bytes_before


@given(st.integers(1, USERS - 1), st.integers(20, 60))
def test_a_few_bad_clocks_move_nothing(bad: int, count: int) -> None:
    """With fewer bad users than ``USERS`` the watermark stays among the times of the good ones."""
    records = [(f"bad{number}", ABSURD) for number in range(bad)]
    records += [(f"user{number % 7}", number * 10) for number in range(count)]
    mark = run(records)[0]
    assert mark.value is not None
    assert mark.value <= (count - 1) * 10
    assert mark.value >= (count - USERS) * 10


def test_a_bad_clock_that_never_stops_moves_nothing() -> None:
    """A user whose every record is absurd counts as one user, for ever."""
    records = []
    for number in range(3 * MEMORY):
        records += [("bad", ABSURD + number), (f"user{number % 50}", number)]
    value = run(records)[0].value
    assert value is not None
    assert 3 * MEMORY - 10 < value < 3 * MEMORY


@given(st.permutations(range(40)))
def test_it_follows_an_orderly_stream(order: list[int]) -> None:
    """However users are shuffled, it lies only a few users behind the newest time."""
    mark = run([(f"user{user}", 1_000 + time) for time, user in enumerate(order)])[0]
    assert mark.value == 1_000 + 40 - USERS


def test_two_users_are_enough_in_time() -> None:
    """A source with two active users moves, after ``PATIENCE`` records; one with a single user does not."""
    two = [("ab"[number % 2], number) for number in range(2 * PATIENCE)]
    assert run(two)[0].value is not None
    assert run([("a", number) for number in range(20 * PATIENCE)])[0].value is None


def test_users_nobody_caught_up_with_are_forgotten() -> None:
    """Strays that lie far apart in the log do not add up to a crowd."""
    records: list[tuple[str, int]] = []
    for stray in range(2 * USERS):
        records.append((f"stray{stray}", ABSURD + stray))
        records += [("only", 100)] * (MEMORY // 2 + 1)
    assert run(records)[0].value != ABSURD
    assert (run(records)[0].value or 0) < ABSURD


def test_a_user_counts_with_the_newest_time() -> None:
    """An older event of the same user does not take back what was seen."""
    assert run([("a", 500), ("a", 10), ("b", 20), ("c", 30), ("d", 40)])[0].value == 20


def test_late_records_change_nothing() -> None:
    """What lies at or before the watermark is no news."""
    mark = run([(f"user{number}", 100 + number) for number in range(10)])[0]
    before = _pack(mark)
    assert mark.value is not None
    mark.observe("late", mark.value, 11)
    mark.observe("late", 0, 12)
    assert _pack(mark) == before


@given(RECORDS)
def test_its_size_is_bounded(records: list[tuple[str, int]]) -> None:
    """It is written with each slice, so it must stay small however many users there are."""
    assert len(run(records)[0].ahead) < USERS
    many = [(f"user{number}", number) for number in range(1_000)]
    assert len(run(many)[0].ahead) < USERS
