"""Hand-made purchases for recommenders: read the rows and the right answer can be told."""

from __future__ import annotations

import numpy as np

from patron.models.base import DAY, CustomerHistory, Interactions

START = 1_700_000_000 // DAY * DAY


def purchases(rows, days=100, products=None):
    """Interactions of rows (customer, product, day); None is a guest. One order a customer and day.

    days: day of the cutoff. products: ids of the catalogue in its order, where more than those bought.
    """
    rows = sorted(rows, key=lambda row: row[2])
    names = sorted({row[1] for row in rows}) if products is None else products
    customers = sorted({row[0] for row in rows} - {None})
    orders: dict = {}
    return Interactions(
        customer=codes(-1 if who is None else customers.index(who) for who, _, _ in rows),
        order=codes(
            orders.setdefault((who, day, None if who else place), len(orders))
            for place, (who, _, day) in enumerate(rows)
        ),
        product=codes(names.index(what) for _, what, _ in rows),
        at=codes(START + int(day * DAY) for _, _, day in rows),
        product_ids=np.asarray(names, dtype=np.str_),
        as_of=START + days * DAY,
    )


def codes(values):
    return np.fromiter(values, dtype=np.int64)


def history(*bought):
    """History of entries (product, times bought, days since, interval or None), oldest first."""
    return CustomerHistory(
        np.asarray([each[0] for each in bought], dtype=np.str_),
        np.asarray([each[1] for each in bought], dtype=np.int64),
        np.asarray([each[2] for each in bought], dtype=np.float64),
        np.asarray([np.nan if each[3] is None else each[3] for each in bought], dtype=np.float64),
    )


def once(*product_ids, days=10.0):
    """History of products bought once, all on one day."""
    return history(*((each, 1, days, None) for each in product_ids))


def checkerboard(size=8, days=100):
    """Customer i buys product j where both are even or both odd, except their own number.

    So the one right recommendation for what customer i bought is product i.
    """
    return purchases(
        [(f"c{i}", f"p{j}", 50 + j) for i in range(size) for j in range(size) if i % 2 == j % 2 and i != j],
        days,
    )


def others_of(i, size=8):
    """What customer i of the checkerboard bought."""
    return once(*(f"p{j}" for j in range(size) if j % 2 == i % 2 and j != i))
