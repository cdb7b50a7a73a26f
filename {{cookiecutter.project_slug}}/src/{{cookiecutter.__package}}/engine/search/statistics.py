"""What several trainings say of a metric together: mean, deviation, and a 95% interval of the mean."""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Estimate(NamedTuple):
    """Of a metric, from trainings that differ by chance alone, such as in their seeds.

    Args:
        mean: of the values.
        deviation: their standard deviation, with n - 1; nan for a single value.
        low, high: the 95% interval of the mean by Student's t; nan for a single value.
    """

    mean: float
    deviation: float
    low: float
    high: float


def estimate(values: Sequence[float]) -> Estimate:
    """Mean, deviation and interval of independent values, as many as there are; nan if one of them is no number."""
    count = len(values)
    mean = math.fsum(values) / count if all(map(math.isfinite, values)) and count else math.nan
    if count < 2 or math.isnan(mean):
        return Estimate(mean, math.nan, math.nan, math.nan)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    half = t_quantile(count - 1) * deviation / math.sqrt(count)
    return Estimate(mean, deviation, mean - half, mean + half)


def t_quantile(freedom: int, share: float = 0.95) -> float:
    """The t with a share of Student's distribution within -t and t, by bisection; 12.706 for 1 degree of freedom."""
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if share_within(middle, freedom) < share else (low, middle)
    return math.tan(low) * math.sqrt(freedom)


def share_within(angle: float, freedom: int) -> float:
    """P(|t| < sqrt(freedom) tan(angle)): Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    sine, cosine = math.sin(angle), math.cos(angle)
    term, total = (cosine, 0.0) if freedom % 2 else (1.0, 0.0)
    for number in range(1 + freedom % 2, freedom, 2):
        total += term
        term *= cosine * cosine * number / (number + 1)
    return 2 / math.pi * (angle + sine * total) if freedom % 2 else sine * total
