"""Counts and money as one flat mapping, so that panes and windows can be added.

A *measure* is a name such as ``clicks``, or a name with a part after a colon:
``spend:EUR`` (micros of the currency), ``interactions:like``. All are whole
numbers that only grow, so sums are exact and a difference is what came since.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["Counts", "add", "difference", "measure_of", "money_of", "split", "window_fields"]

Counts = dict[str, int]

_PLAIN = ("impressions", "clicks", "pageviews", "orders", "refunds")
_MONEY = {"spend": "spend_micros", "revenue": "revenue_micros", "refund": "refund_micros"}
_OF_TYPE = {
    "impression": "impressions",
    "click": "clicks",
    "pageview": "pageviews",
    "order": "orders",
    "refund": "refunds",
}


def add(total: Counts, more: Mapping[str, int]) -> None:
    """Add ``more`` to ``total`` in place.

    >>> total = {"clicks": 1}
    >>> add(total, {"clicks": 2, "spend:EUR": 5})
    >>> total
    {'clicks': 3, 'spend:EUR': 5}
    """
    for measure, value in more.items():
        total[measure] = total.get(measure, 0) + value


def difference(new: Mapping[str, int], old: Mapping[str, int]) -> Counts:
    """Return what ``new`` has more than ``old``; both are readings of the same growing counts.

    >>> difference({"clicks": 3, "spend:EUR": 5}, {"clicks": 3})
    {'spend:EUR': 5}
    """
    return {m: v - old.get(m, 0) for m, v in new.items() if v != old.get(m, 0)}


def split(measure: str) -> tuple[str, str]:
    """Return name and part of a measure.

    >>> split("spend:EUR"), split("clicks")
    (('spend', 'EUR'), ('clicks', ''))
    """
    name, _, part = measure.partition(":")
    return name, part


def measure_of(topic: str, kind: str) -> str:
    """Return the measure that counts events of a type.

    >>> measure_of("clicks", "click"), measure_of("social", "like")
    ('clicks', 'interactions:like')
    """
    return f"interactions:{kind}" if topic == "social" else _OF_TYPE[kind]


def money_of(topic: str, kind: str, currency: str) -> str:
    """Return the measure that adds up the money of events of a type.

    >>> money_of("clicks", "click", "EUR"), money_of("orders", "refund", "USD")
    ('spend:EUR', 'refund:USD')
    """
    name = "spend" if topic == "clicks" else "refund" if kind == "refund" else "revenue"
    return f"{name}:{currency}"


def window_fields(counts: Mapping[str, int]) -> dict[str, Any]:
    """Return the fields of a :class:`~schemas.windows.CampaignWindow` that hold counts."""
    fields: dict[str, Any] = dict.fromkeys(_PLAIN, 0)
    money: dict[str, dict[str, int]] = {field: {} for field in _MONEY.values()}
    interactions: dict[str, int] = {}
    for measure, value in counts.items():
        name, part = split(measure)
        if name in _MONEY:
            money[_MONEY[name]][part] = value
        elif name == "interactions":
            interactions[part] = value
        else:
            fields[name] = value
    return {**fields, **money, "interactions": interactions}
