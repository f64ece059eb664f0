"""How far a counted ratio can be off by chance: score intervals of proportions and rates.

Ten clicks in 400 impressions are 2.5 %, but true rates from 1.4 to 4.5 % go well with them. Rules compare intervals, so
that a campaign of an hour's age raises no alarm.

Easy to get wrong: the textbook's plus-minus (Wald) is of no width when nobody has clicked yet, so the least data would
look the most certain.
"""

from math import sqrt
from typing import NamedTuple

__all__ = ["Z_95", "Interval", "interval", "rate_interval", "wilson_interval"]

Z_95 = 1.959963984540054
"""Standard score of a two-sided interval of 95 %."""


class Interval(NamedTuple):
    """The range of true ratios that go well with what was counted."""

    low: float
    high: float


def wilson_interval(part: int, whole: int, z: float = Z_95) -> Interval | None:
    """Return the score interval of a proportion; ``None`` without a denominator.

    Unlike the textbook's plus-minus it stays inside 0 to 1, and is honest for few trials and for a part of 0. Source:
    Wilson, E. B. (1927), "Probable inference, the law of succession, and statistical inference", JASA 22, 209-212.

    Args:
        part: successes, 0 to ``whole``.
        whole: trials.
        z: standard score of the confidence wanted.

    >>> [round(bound, 4) for bound in wilson_interval(10, 400)]
    [0.0136, 0.0454]
    >>> [round(bound, 4) for bound in wilson_interval(0, 10)]
    [0.0, 0.2775]
    """
    if not whole:
        return None
    ratio = part / whole
    weight = z * z / whole
    middle = ratio + weight / 2
    half = z * sqrt(ratio * (1 - ratio) / whole + weight / (4 * whole))
    # Rounding must not push a bound past the ratio, nor out of 0 to 1.
    low = max(0.0, (middle - half) / (1 + weight))
    high = min(1.0, (middle + half) / (1 + weight))
    return Interval(min(low, ratio), max(high, ratio))


def rate_interval(count: int, exposure: int, z: float = Z_95) -> Interval | None:
    """Return the score interval of a rate of independent events (Poisson); ``None`` without exposure.

    For what can happen more than once per unit, such as interactions per impression. It solves
    ``(count - m)² = z² m`` for the expected count ``m``. Source: Brown, Cai and DasGupta (2003), "Interval estimation
    in exponential families", Statistica Sinica 13, 19-49.

    >>> [round(bound, 4) for bound in rate_interval(12, 400)]
    [0.0172, 0.0524]
    """
    if not exposure:
        return None
    ratio = count / exposure
    middle = count + z * z / 2
    half = z * sqrt(count + z * z / 4)
    return Interval(max(0.0, min((middle - half) / exposure, ratio)), max((middle + half) / exposure, ratio))


def interval(part: int, whole: int, z: float = Z_95) -> Interval | None:
    """Return Wilson's interval where ``part`` is a part of ``whole``, and that of a rate where it is more.

    >>> interval(5, 10) == wilson_interval(5, 10), interval(15, 10) == rate_interval(15, 10)
    (True, True)
    """
    return wilson_interval(part, whole, z) if part <= whole else rate_interval(part, whole, z)
