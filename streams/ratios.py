"""What marketing people divide: click-through, conversion, cost per click, return on spend, and how sure we are.

A ratio whose denominator is empty is *unknown* (``None``), not zero: a campaign that nobody was shown must never look
like one that nobody clicks. Money comes in as whole micros of a currency and leaves in units of it.

Easy to get wrong: money of different currencies is never added, and never set against a count that other money was
paid for as well. So what one click costs is unknown once clicks were paid for in two currencies, see :func:`of_counts`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from streams.intervals import Interval, interval, rate_interval

__all__ = [
    "Ratios",
    "aov",
    "bounce_rate",
    "cac",
    "conversion_rate",
    "cpa",
    "cpc",
    "cpm",
    "ctr",
    "engagement_rate",
    "money_by_currency",
    "negative_share",
    "of_counts",
    "roas",
    "roi",
]

MICROS = 1_000_000
"""Micros in one unit of a currency."""


# -- ratios of counts ----------------------------------------------------------


def ctr(clicks: int, impressions: int) -> float | None:
    """Return the click-through rate: clicks per impression.

    >>> ctr(10, 400), ctr(0, 400), ctr(0, 0)
    (0.025, 0.0, None)
    """
    return _divide(clicks, impressions)


def conversion_rate(orders: int, clicks: int) -> float | None:
    """Return orders per click; above 1 where one click brings several orders.

    >>> conversion_rate(3, 60)
    0.05
    """
    return _divide(orders, clicks)


def bounce_rate(one_page_sessions: int, sessions: int) -> float | None:
    """Return the share of sessions that saw one page only.

    >>> bounce_rate(30, 40)
    0.75
    """
    return _divide(one_page_sessions, sessions)


def engagement_rate(interactions: int, impressions: int) -> float | None:
    """Return social interactions per impression; above 1 where one impression brings several.

    >>> engagement_rate(12, 400)
    0.03
    """
    return _divide(interactions, impressions)


def negative_share(complaints: int, negative_mentions: int, mentions: int) -> float | None:
    """Return complaints and negative mentions per mention; above 1 where people mostly complain.

    >>> negative_share(1, 2, 20)
    0.15
    """
    return _divide(complaints + negative_mentions, mentions)


# -- ratios with money: micros in, units of the same currency out ----------------


def cpc(spend_micros: int, clicks: int) -> float | None:
    """Return the cost per click, in units of the currency.

    >>> cpc(1_500_000, 3)
    0.5
    """
    return _divide(spend_micros, clicks * MICROS)


def cpm(spend_micros: int, impressions: int) -> float | None:
    """Return the cost of a thousand impressions (*mille*), in units of the currency.

    >>> cpm(1_500_000, 500)
    3.0
    """
    return _divide(1_000 * spend_micros, impressions * MICROS)


def cpa(spend_micros: int, orders: int) -> float | None:
    """Return the cost per acquisition: spend per attributed order, in units of the currency.

    >>> cpa(90_000_000, 4)
    22.5
    """
    return _divide(spend_micros, orders * MICROS)


def cac(spend_micros: int, new_customers: int) -> float | None:
    """Return the customer acquisition cost: spend per new customer, in units of the currency.

    >>> cac(90_000_000, 2)
    45.0
    """
    return _divide(spend_micros, new_customers * MICROS)


def aov(revenue_micros: int, orders: int) -> float | None:
    """Return the average order value, gross of refunds, in units of the currency.

    >>> aov(80_000_000, 4)
    20.0
    """
    return _divide(revenue_micros, orders * MICROS)


def roas(revenue_micros: int, spend_micros: int) -> float | None:
    """Return the return on advertising spend: attributed revenue per unit of spend, both in the same currency.

    >>> roas(80_000_000, 20_000_000)
    4.0
    """
    return _divide(revenue_micros, spend_micros)


def roi(revenue_micros: int, spend_micros: int) -> float | None:
    """Return the return on investment: what is left of attributed revenue, per unit of spend, in the same currency.

    >>> roi(80_000_000, 20_000_000), roi(0, 20_000_000)
    (3.0, -1.0)
    """
    return _divide(revenue_micros - spend_micros, spend_micros)


def _divide(part: int, whole: int) -> float | None:
    return part / whole if whole else None


# -- all ratios of some counts ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ratios:
    """The ratios of some counts, each ``None`` where it is unknown. Money is in units of ``currency``."""

    currency: str | None
    ctr: float | None
    ctr_interval: Interval | None
    conversion_rate: float | None
    conversion_interval: Interval | None
    engagement_rate: float | None
    engagement_interval: Interval | None
    cpc: float | None
    cpm: float | None
    cpa: float | None
    aov: float | None
    roas: float | None
    roi: float | None


def of_counts(counts: Mapping[str, int], currency: str | None = None) -> Ratios:
    """Return all ratios of counts as :mod:`streams.counts` keeps them, money in one currency.

    Money over a count (CPC, CPM, CPA, AOV) is known only while all that money is in ``currency``. ROAS and ROI set
    revenue against spend of the same currency; they are unknown while some revenue is in a currency without spend:
    part of the return would be missing. Attributed orders are those that carry the channel or campaign themselves.

    Args:
        counts: flat measures such as ``clicks`` and ``spend:EUR`` (micros).
        currency: of the money ratios; ``None`` takes the only currency there is, and leaves them unknown if there are
            several.

    >>> ratios = of_counts({"clicks": 4, "orders": 1, "spend:EUR": 2_000_000, "revenue:EUR": 9_000_000})
    >>> ratios.currency, ratios.cpc, ratios.cpa, ratios.roas, ratios.ctr
    ('EUR', 0.5, 2.0, 4.5, None)
    >>> mixed = of_counts({"clicks": 4, "spend:EUR": 2_000_000, "spend:USD": 1_000_000}, "EUR")
    >>> mixed.conversion_rate, mixed.cpc
    (0.0, None)
    """
    spends, revenues = money_by_currency(counts, "spend"), money_by_currency(counts, "revenue")
    if currency is None and len(spends.keys() | revenues.keys()) == 1:
        (currency,) = spends.keys() | revenues.keys()
    spend = _only(spends, currency)
    revenue = _only(revenues, currency)
    compared = spends.get(currency or "", 0) if revenues.keys() <= spends.keys() else 0
    returned = revenues.get(currency or "", 0)
    impressions, clicks, orders = (counts.get(name, 0) for name in ("impressions", "clicks", "orders"))
    interactions = sum(value for measure, value in counts.items() if measure.startswith("interactions:"))
    return Ratios(
        currency=currency,
        ctr=ctr(clicks, impressions),
        ctr_interval=interval(clicks, impressions),
        conversion_rate=conversion_rate(orders, clicks),
        conversion_interval=interval(orders, clicks),
        engagement_rate=engagement_rate(interactions, impressions),
        engagement_interval=rate_interval(interactions, impressions),
        cpc=None if spend is None else cpc(spend, clicks),
        cpm=None if spend is None else cpm(spend, impressions),
        cpa=None if spend is None else cpa(spend, orders),
        aov=None if revenue is None else aov(revenue, orders),
        roas=roas(returned, compared),
        roi=roi(returned, compared),
    )


def money_by_currency(counts: Mapping[str, int], name: str) -> dict[str, int]:
    """Return the micros of one kind of money by currency; a sum of 0 says nothing about a currency.

    >>> money_by_currency({"clicks": 4, "spend:EUR": 2, "spend:USD": 0, "revenue:EUR": 3}, "spend")
    {'EUR': 2}
    """
    kind = name + ":"
    return {measure[len(kind) :]: value for measure, value in counts.items() if value and measure.startswith(kind)}


def _only(money: Mapping[str, int], currency: str | None) -> int | None:
    """Return the money if it is all in ``currency`` (0 if there is none), ``None`` if any is in another."""
    if currency is None or money.keys() - {currency}:
        return None
    return money.get(currency, 0)
