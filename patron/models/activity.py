"""What customer models read: features of the view `customer_activity`, and what follows from them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite, nan
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from patron.errors import DataError, FeatureError
from patron.models.base import DAY, FeatureRows

Numbers = NDArray[np.float64]

VIEW = "customer_activity"

WHOLE = (
    *("orders_30d", "orders_90d", "orders_365d", "orders_total", "purchase_days"),
    *("distinct_products", "distinct_categories_365d", "first_order_at", "last_order_at"),
)
REAL = (
    *("units_90d", "spend_30d", "spend_90d", "spend_365d", "spend_total", "mean_order_value"),
    *("returned_365d", "return_share", "discount_share", "discount_share_90d", "repeat_spend_mean"),
    *("recency_days", "tenure_days", "mean_gap_days", "sd_gap_days", "last_gap_days", "recency_to_gap"),
    "order_trend",
)

TYPES = {**dict.fromkeys(WHOLE, "Int64"), **dict.fromkeys(REAL, "Float64")}
"""Feature -> Feast type of everything that a customer model may read."""

NET = ("returned_30d", "returned_90d")
"""What lifetime value reads beside them: with returned_365d, what came back within each window of spend."""

INPUTS = tuple(name for name in TYPES if name not in ("first_order_at", "last_order_at"))
"""The features that go into a model as they are."""

DERIVED = ("recency_share", "orders_a_month", "overdue", "last_gap_to_gap", "spend_trend")
"""The inputs that `derived` computes."""

SKEWED = frozenset(INPUTS + DERIVED) - {
    *("return_share", "discount_share", "discount_share_90d", "recency_share", "overdue", "spend_trend"),
}
"""Non-negative inputs with a long tail: a linear model reads their log1p."""


def references(names: Iterable[str]) -> dict[str, str]:
    """Feast reference -> type, as a manifest lists them."""
    return {f"{VIEW}:{name}": TYPES.get(name, "Float64") for name in names}


def size(rows: FeatureRows) -> int:
    """Number of customers in the rows. Raises DataError when the columns differ in length."""
    lengths = {len(column) for column in rows.values()}
    if len(lengths) > 1:
        raise DataError(f"The feature columns differ in length: {sorted(lengths)}. Read them in one call.")
    return lengths.pop() if lengths else 0


class One(dict[str, float]):
    """The features of one customer as plain numbers, NaN where missing or infinite.

    The formulas of this package that say so take it in the place of rows, and give numbers instead of arrays:
    numpy takes ten times longer to begin than Python to end. The arithmetic is the same, to the last bit.
    """


class Clean(dict[str, Numbers]):
    """Rows whose columns are as `column` gives them, and what was computed from them so far."""

    def __init__(self, columns: Mapping[str, Numbers]) -> None:
        super().__init__(columns)
        self.memory: dict[tuple[Any, ...], Any] = {}


Method = TypeVar("Method", bound=Callable[..., Any])


def remembered(method: Method) -> Method:
    """A method of rows and hashable arguments that is not computed twice for the same Clean rows.

    Nobody may write into what it gives.
    """

    @functools.wraps(method)
    def ask(self: Any, rows: FeatureRows, *more: Any) -> Any:
        if not isinstance(rows, Clean):
            return method(self, rows, *more)
        key = (id(self), method, *more)
        if key not in rows.memory:
            rows.memory[key] = method(self, rows, *more)
        return rows.memory[key]

    return ask  # type: ignore[return-value]


def one(rows: FeatureRows, more: Sequence[str] = ()) -> One:
    """The only customer of these rows: every feature of TYPES and of `more` that they have."""
    names: Iterable[str] = (*TYPES, *more) if more else TYPES
    row = getattr(rows, "row", None) or {name: rows[name].item(0) for name in names if name in rows}
    return One(
        (name, float(row[name]) if row[name] is not None and isfinite(row[name]) else nan)
        for name in names
        if name in row
    )


def clean(rows: FeatureRows) -> Clean:
    """Every feature of TYPES and NET that the rows have."""
    if isinstance(rows, Clean):
        return rows
    if hasattr(rows, "row"):
        return Clean({name: np.array([number]) for name, number in one(rows, NET).items()})
    return Clean({name: column(rows, name) for name in (*TYPES, *NET) if name in rows})


def column(rows: FeatureRows | One, name: str) -> Any:
    """One feature as float64, NaN where missing or infinite. Raises FeatureError when it was not read."""
    if name not in rows:
        raise FeatureError(f"The rows lack the feature {VIEW}:{name}. Read every feature of the manifest.")
    if isinstance(rows, (One, Clean)):
        return rows[name]
    values: NDArray[Any] = np.asarray(rows[name])
    if values.dtype == object:
        values = np.array([np.nan if each is None else each for each in values])
    numbers = values.astype(np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def ratio(above: Any, below: Any) -> Any:
    """above / below, NaN where `below` is not positive. Arrays or single numbers."""
    if isinstance(above, float):
        return above / below if below > 0 else nan
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)


def at_least(values: Any, lowest: float) -> Any:
    """`values`, or `lowest` where that is more; NaN stays. Arrays or single numbers."""
    if isinstance(values, float):
        return lowest if values < lowest else values
    return np.maximum(values, lowest)


def at_most(values: Any, highest: float) -> Any:
    """`values`, or `highest` where that is less; NaN stays. Arrays or single numbers."""
    if isinstance(values, float):
        return highest if values > highest else values
    return np.minimum(values, highest)


def filled(values: Any, instead: float = 0.0) -> Any:
    """`values`, `instead` where missing. Arrays or single numbers."""
    if isinstance(values, float):
        return instead if values != values else values
    return np.where(np.isnan(values), instead, values)


def first_of(conditions: Sequence[Any], names: Sequence[str], otherwise: str) -> Any:
    """The name of the first condition that holds. Arrays or single truths."""
    if isinstance(conditions[0], bool):
        return next((name for each, name in zip(conditions, names, strict=True) if each), otherwise)
    return np.select(list(conditions), list(names), otherwise)


def derived(rows: FeatureRows | One) -> dict[str, Any]:
    """The inputs that follow from others in the same row.

    recency_share: recency over tenure, 1 for a one-time buyer. orders_a_month: repeat purchase days for each
    30 days of tenure. overdue: how far the wait exceeds the usual gap, in the customer's own standard
    deviations (at least a day), within -5..20. last_gap_to_gap: the last gap over the mean one. spend_trend:
    the last quarter's spend over a quarter of the last year's.
    """
    recency, tenure, gap = (column(rows, name) for name in ("recency_days", "tenure_days", "mean_gap_days"))
    deviation = at_least(column(rows, "sd_gap_days"), 1.0)
    return {
        "recency_share": ratio(recency, tenure),
        "orders_a_month": ratio(30 * at_least(column(rows, "purchase_days") - 1, 0.0), tenure),
        "overdue": at_most(at_least((recency - gap) / deviation, -5.0), 20.0),
        "last_gap_to_gap": ratio(column(rows, "last_gap_days"), gap),
        "spend_trend": ratio(4 * column(rows, "spend_90d"), column(rows, "spend_365d")),
    }


def matrix(rows: FeatureRows, names: Iterable[str], **more: Numbers) -> Numbers:
    """The named inputs side by side, shape (customers, inputs); `more` holds those that a model computes."""
    known = {**derived(rows), **more}
    columns = [known[name] if name in known else column(rows, name) for name in names]
    return np.column_stack(columns) if columns else np.zeros((size(rows), 0))


def inputs(rows: One, names: Iterable[str]) -> list[float]:
    """The named inputs of one customer."""
    known = {**rows, **derived(rows)}
    return [known[name] for name in names]


def cutoffs(rows: FeatureRows) -> NDArray[np.int64]:
    """The day, counted from 1970, that each row was computed as of; rows without an order give -1."""
    moment = column(rows, "last_order_at") / DAY + column(rows, "recency_days")
    return np.where(np.isnan(moment), -1, np.round(np.nan_to_num(moment))).astype(np.int64)


def labels(rows: FeatureRows, values: NDArray[Any], name: str) -> Numbers:
    """A label as float64. Raises DataError unless there is one finite value for each row, and a row."""
    found = np.asarray(values, dtype=np.float64)
    if found.shape != (size(rows),):
        raise DataError(f"There are {size(rows)} rows and {len(found)} values of {name}: give one a row.")
    if not len(found):
        raise DataError(
            f"There is no customer to learn {name} from. Import more orders or use an earlier cutoff."
        )
    if not np.isfinite(found).all():
        raise DataError(f"{int((~np.isfinite(found)).sum())} values of {name} are not finite numbers.")
    return found
