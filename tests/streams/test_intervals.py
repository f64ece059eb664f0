"""Score intervals hold what was counted, keep inside their range, and shrink with more data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.intervals import interval, rate_interval, wilson_interval

sizes = st.integers(1, 10**12)


@st.composite
def proportions(draw):
    """A part and a whole that has it."""
    whole = draw(sizes)
    return draw(st.integers(0, whole)), whole


@given(proportions())
def test_wilson_holds_the_ratio_and_stays_between_0_and_1(numbers):
    """Also for a part of nothing and of everything."""
    part, whole = numbers
    low, high = wilson_interval(part, whole)
    assert 0 <= low <= part / whole <= high <= 1
    assert low < high


@given(proportions(), st.integers(2, 1_000))
def test_wilson_shrinks_with_more_trials_of_the_same_ratio(numbers, times):
    """The same ratio of more trials is known better."""
    part, whole = numbers
    few, many = wilson_interval(part, whole), wilson_interval(part * times, whole * times)
    assert many.high - many.low < few.high - few.low


@given(proportions())
def test_wilson_mirrors_success_and_failure(numbers):
    """Clicks and non-clicks are equally uncertain."""
    part, whole = numbers
    one, other = wilson_interval(part, whole), wilson_interval(whole - part, whole)
    assert one.low == pytest.approx(1 - other.high, abs=1e-9)


@given(proportions(), st.floats(0.5, 2), st.floats(1.1, 2))
def test_more_confidence_is_wider(numbers, z, factor):
    """A higher standard score never narrows."""
    narrow, wide = wilson_interval(*numbers, z=z), wilson_interval(*numbers, z=z * factor)
    assert wide.low <= narrow.low
    assert narrow.high <= wide.high


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"), [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1, 29, 0.0061, 0.1718)]
)
def test_wilson_gives_published_values(part, whole, low, high):
    """1 of 29 is an example of Newcombe (1998)."""
    assert wilson_interval(part, whole) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@given(st.integers(0, 10**12), sizes)
def test_a_rate_interval_holds_the_rate(count, exposure):
    """Also above 1, and never below 0."""
    low, high = rate_interval(count, exposure)
    assert 0 <= low <= count / exposure <= high
    assert low < high


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(2, 1_000))
def test_a_rate_interval_shrinks_with_exposure(count, exposure, times):
    """The same rate over more exposure is known better."""
    few, many = rate_interval(count, exposure), rate_interval(count * times, exposure * times)
    assert many.high - many.low < few.high - few.low


@pytest.mark.parametrize("function", [wilson_interval, rate_interval, interval])
def test_nothing_counted_gives_no_interval(function):
    """Without trials there is nothing to be sure or unsure of."""
    assert function(0, 0) is None
