"""Money in whole millionths of the shop's currency: sums of them are exact, as budgets must be."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

MILLIONTHS = 1_000_000


def cost_of(amount: float) -> int:
    """What something costs, rounded up: a budget is never exceeded by a fraction."""
    return int((exact(amount) * MILLIONTHS).to_integral_value(ROUND_CEILING))


def budget_of(amount: float) -> int:
    """What may be spent, rounded down."""
    return int((exact(amount) * MILLIONTHS).to_integral_value(ROUND_FLOOR))


def exact(amount: float) -> Decimal:
    """The decimal that a float was written as: 0.1 is a tenth."""
    return Decimal(repr(float(amount)))


def amount(millionths: int) -> float:
    """Currency units, as answers tell them."""
    return millionths / MILLIONTHS
