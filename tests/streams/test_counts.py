"""Counts add up, in any order, and a difference is what came since."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.reasons import TYPES
from streams.counts import add, difference, measure_of, money_of, split, window_fields

MEASURES = st.sampled_from(["impressions", "clicks", "orders", "spend:EUR", "spend:USD", "interactions:like"])
COUNTS = st.dictionaries(MEASURES, st.integers(1, 10**12))


@given(COUNTS, COUNTS)
def test_difference_undoes_adding(old: dict[str, int], more: dict[str, int]) -> None:
    """old + more − old = more, and nothing that was given is changed by asking."""
    new = dict(old)
    add(new, more)
    assert difference(new, old) == more
    assert difference(new, new) == {}
    again = dict(old)
    add(again, difference(new, old))
    assert again == new


@given(st.lists(COUNTS), st.randoms(use_true_random=False))
def test_order_of_adding_does_not_matter(parts: list[dict[str, int]], chance) -> None:  # type: ignore[no-untyped-def]
    """Sums of whole numbers are exact, so any order gives the same."""
    total: dict[str, int] = {}
    for part in parts:
        add(total, part)
    shuffled = list(parts)
    chance.shuffle(shuffled)
    other: dict[str, int] = {}
    for part in shuffled:
        add(other, part)
    assert other == total


@given(COUNTS)
def test_adding_leaves_what_is_added(more: dict[str, int]) -> None:
    """The right side keeps its numbers when the left one grows further."""
    kept = dict(more)
    total: dict[str, int] = {}
    add(total, more)
    add(total, more)
    assert more == kept


def test_every_event_type_has_a_measure_of_its_own() -> None:
    """Nothing that is valid is counted under another's name."""
    measures = [measure_of(topic, kind) for topic, kinds in TYPES.items() for kind in sorted(kinds)]
    assert len(set(measures)) == len(measures)


def test_money_is_kept_apart_by_direction_and_currency() -> None:
    """Spend, revenue and refunds of each currency are never added together."""
    measures = [
        money_of("clicks", "click", "EUR"),
        money_of("clicks", "impression", "USD"),
        money_of("orders", "order", "EUR"),
        money_of("orders", "refund", "EUR"),
    ]
    assert measures == ["spend:EUR", "spend:USD", "revenue:EUR", "refund:EUR"]


@given(COUNTS)
def test_window_fields_hold_every_count(counts: dict[str, int]) -> None:
    """What goes into a window is all that was counted, each number once."""
    fields = window_fields(counts)
    found = sum(sum(value.values()) if isinstance(value, dict) else value for value in fields.values())
    assert found == sum(counts.values())
    assert fields["spend_micros"] == {split(m)[1]: v for m, v in counts.items() if m.startswith("spend:")}
    assert fields["clicks"] == counts.get("clicks", 0)
