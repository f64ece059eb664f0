"""Ratios: unknown without a denominator, money of one currency only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import ratios
from streams.intervals import rate_interval, wilson_interval
from streams.ratios import of_counts

counts = st.integers(0, 10**9)
micros = st.integers(0, 10**15)


@pytest.mark.parametrize(
    ("function", "numbers"),
    [
        (ratios.ctr, (0, 0)),
        (ratios.conversion_rate, (3, 0)),
        (ratios.bounce_rate, (0, 0)),
        (ratios.engagement_rate, (5, 0)),
        (ratios.negative_share, (1, 1, 0)),
        (ratios.cpc, (100, 0)),
        (ratios.cpm, (100, 0)),
        (ratios.cpa, (100, 0)),
        (ratios.cac, (100, 0)),
        (ratios.aov, (100, 0)),
        (ratios.roas, (100, 0)),
        (ratios.roi, (100, 0)),
    ],
)
def test_a_ratio_without_a_denominator_is_unknown(function, numbers):
    """Promise 6: nothing to divide by is not zero."""
    assert function(*numbers) is None


def test_empty_counts_leave_everything_unknown():
    """No ratio and no interval comes from nothing."""
    known = of_counts({})
    assert all(getattr(known, name) is None for name in known.__slots__)


@given(impressions=counts, clicks=counts, orders=counts, spend=micros, revenue=micros)
def test_ratios_of_counts_are_those_of_the_design(impressions, clicks, orders, spend, revenue):
    """Every field is its formula, money in units of the currency."""
    known = of_counts(
        {
            "impressions": impressions,
            "clicks": clicks,
            "orders": orders,
            "spend:EUR": spend,
            "revenue:EUR": revenue,
        },
        "EUR",
    )
    assert known.ctr == (clicks / impressions if impressions else None)
    assert known.conversion_rate == (orders / clicks if clicks else None)
    assert known.cpc == (pytest.approx(spend / 1e6 / clicks) if clicks else None)
    assert known.cpm == (pytest.approx(1_000 * spend / 1e6 / impressions) if impressions else None)
    assert known.cpa == (pytest.approx(spend / 1e6 / orders) if orders else None)
    assert known.aov == (pytest.approx(revenue / 1e6 / orders) if orders else None)
    if spend:
        assert known.roas == pytest.approx(revenue / spend)
        assert known.roi == pytest.approx((revenue - spend) / spend)
    else:
        assert known.roas is None
        assert known.roi is None


def test_engagement_counts_every_kind_of_interaction():
    """Likes and shares add up, other measures stay out."""
    known = of_counts({"impressions": 100, "interactions:like": 3, "interactions:share": 4, "clicks": 50})
    assert known.engagement_rate == 0.07
    assert known.engagement_interval == rate_interval(7, 100)


def test_proportions_carry_their_interval():
    """CTR and conversion carry Wilson's interval."""
    known = of_counts({"impressions": 400, "clicks": 10, "orders": 2})
    assert known.ctr_interval == wilson_interval(10, 400)
    assert known.conversion_interval == wilson_interval(2, 10)


def test_more_orders_than_clicks_still_have_an_interval():
    """One click may bring several orders: a rate then, no proportion."""
    known = of_counts({"clicks": 10, "orders": 15})
    assert known.conversion_rate == 1.5
    assert known.conversion_interval == rate_interval(15, 10)


def test_money_over_a_count_is_unknown_in_two_currencies():
    """Clicks that were paid for in two currencies have no cost in one."""
    mixed = {"clicks": 4, "orders": 2, "spend:EUR": 10, "spend:USD": 10, "revenue:EUR": 1, "revenue:USD": 1}
    for currency in ("EUR", "USD", None):
        known = of_counts(mixed, currency)
        assert (known.cpc, known.cpm, known.cpa, known.aov) == (None, None, None, None)
        assert known.conversion_rate == 0.5


def test_return_is_set_against_spend_of_the_same_currency():
    """With both currencies on both sides, each has its own return."""
    mixed = {"spend:EUR": 10, "spend:USD": 20, "revenue:EUR": 40, "revenue:USD": 20}
    assert (of_counts(mixed, "EUR").roas, of_counts(mixed, "USD").roas) == (4.0, 1.0)


def test_return_is_unknown_while_part_of_it_is_in_a_currency_without_spend():
    """Revenue in dollars for spend in euros is neither zero nor one to one."""
    known = of_counts({"spend:EUR": 10, "revenue:USD": 1_000}, "EUR")
    assert known.roas is None
    assert known.roi is None


def test_spend_without_revenue_returned_nothing():
    """No revenue at all is a known return of zero."""
    known = of_counts({"spend:EUR": 10}, "EUR")
    assert (known.roas, known.roi) == (0.0, -1.0)


def test_another_currency_than_that_of_the_money_gives_nothing():
    """Euros are not shown as dollars."""
    known = of_counts({"clicks": 4, "orders": 1, "spend:EUR": 10, "revenue:EUR": 10}, "USD")
    assert (known.cpc, known.cpa, known.aov, known.roas) == (None, None, None, None)


def test_the_only_currency_is_found():
    """Without a currency asked for, the only one there is serves."""
    known = of_counts({"clicks": 4, "spend:EUR": 2_000_000})
    assert (known.currency, known.cpc) == ("EUR", 0.5)
    assert of_counts({"spend:EUR": 1, "revenue:USD": 1}).currency is None
