"""The plots of a run: matplotlib figures without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training import metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Numbers = NDArray[np.float64]


def canvas(title: str, across: str, up: str) -> tuple[Figure, Axes]:
    """An empty figure with labelled axes; no global state of pyplot is touched."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=across, ylabel=up)
    axes.grid(alpha=0.3)
    return figure, axes


def calibration(outcome: Numbers, predictions: Mapping[str, Numbers], what: str) -> Figure:
    """Observed rate against mean probability, in ten groups of equal count, one line a model."""
    figure, axes = canvas(f"Calibration: {what}", "predicted probability", "observed rate")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="perfect")
    for name, probability in predictions.items():
        points = np.asarray(metrics.deciles(outcome, probability))
        axes.plot(points[:, 0], points[:, 1], marker="o", label=name)
    axes.legend()
    return figure


def gain(outcome: Numbers, predictions: Mapping[str, Numbers], what: str, share_of: str) -> Figure:
    """Share of the outcome found among the best-ranked share of customers, one line a model."""
    figure, axes = canvas(f"Gain: {what}", "share of customers, best ranked first", share_of)
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="random")
    for name, score in predictions.items():
        found = np.cumsum(outcome[np.argsort(-score, kind="stable")]) / max(outcome.sum(), 1e-12)
        axes.plot(np.linspace(0, 1, len(found)), found, label=name)
    axes.legend()
    return figure


def decile_value(actual: Numbers, predictions: Mapping[str, Numbers], currency: str) -> Figure:
    """Mean actual against mean predicted value in ten groups of equal count."""
    figure, axes = canvas(
        "Value by decile", f"mean predicted value ({currency})", f"mean actual value ({currency})"
    )
    top = 0.0
    for name, predicted in predictions.items():
        points = np.asarray(metrics.deciles(actual, predicted))
        top = max(top, float(points.max()))
        axes.plot(points[:, 0], points[:, 1], marker="o", label=name)
    axes.plot([0, top], [0, top], color="grey", linestyle=":", label="perfect")
    axes.legend()
    return figure


def by_k(curves: Mapping[str, Sequence[float]], ks: Sequence[int], metric: str) -> Figure:
    """A ranking metric against the length of the list, one line a source."""
    figure, axes = canvas(f"{metric} by length of the list", "k", f"{metric}@k")
    for name, values in curves.items():
        axes.plot(ks, values, marker="o", label=name)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def bars(values: Mapping[str, float], title: str, across: str) -> Figure:
    """Horizontal bars, the largest on top."""
    figure, axes = canvas(title, across, "")
    ordered = sorted(values.items(), key=lambda item: item[1])
    axes.barh([name for name, _ in ordered], [value for _, value in ordered])
    return figure


def importance(contributions: Numbers, inputs: Numbers, names: Sequence[str], what: str) -> Figure:
    """SHAP values as a beeswarm: each dot is a customer, to the right it raises the prediction.

    contributions: (customers, features). Source: Lundberg et al. 2020.
    """
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import matplotlib as mpl

        mpl.use("Agg")
        import matplotlib.pyplot as plt
        import shap

        explained: Any = shap.Explanation(contributions, data=inputs, feature_names=list(names))
        shap.plots.beeswarm(explained, max_display=15, show=False)
        figure = plt.gcf()
        figure.axes[0].set_title(f"What moves {what}")
        plt.close(figure)
    return figure
