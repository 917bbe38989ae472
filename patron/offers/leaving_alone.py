"""Who is left alone for a whole period, so that what offers change can be told from customers without any.

A draw anew at every decision leaves nobody alone for long: who got nothing today is offered something
tomorrow, and both groups end up alike. Here chance decides once a customer and period, by a hash, so that
every worker, list and plan leaves the same customers alone. A period lasts twice as long as outcomes are
counted, and begins on another day for each customer: what is decided in its first half has its whole outcome
within it.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

DAY = 86_400.0
SPAN = float(1 << 64)


def alone(customer_id: str, moment: datetime, outcome_days: int, share: float) -> bool:
    """Whether the customer is left alone in the period of a moment: true for `share` of customers."""
    period, _ = place(customer_id, moment.timestamp(), outcome_days)
    return fraction(f"alone:{period}:{customer_id}") < share


def whole(customer_id: str, at: float, outcome_days: int) -> bool:
    """Whether the outcome of what was decided at a moment (epoch seconds) ends within the same period."""
    return place(customer_id, at, outcome_days)[1] <= outcome_days


def place(customer_id: str, at: float, outcome_days: int) -> tuple[int, float]:
    """(number of the period of a moment, days since it began)."""
    length = 2 * outcome_days
    days = at / DAY + length * fraction(f"begins:{customer_id}")
    return int(days // length), days % length


def fraction(text: str) -> float:
    """A number in [0, 1) that a text always has, and that looks drawn at random."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) / SPAN
