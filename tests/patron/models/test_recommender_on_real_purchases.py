"""Online Retail, one global split: fitted before the last 28 days, judged on them."""

from __future__ import annotations

import numpy as np
import pytest

from patron.models.base import DAY, CustomerHistory, Interactions
from patron.models.blend import Blend, BlendConfig
from patron.models.products import top

SAMPLE = 200
WINDOW_DAYS = 28


@pytest.fixture(scope="module")
def lines(shared_data):
    import pandas as pd

    raw = pd.read_csv(shared_data / "online_retail.csv.gz", dtype=str, encoding="latin1")
    product = raw["StockCode"].str.match(r"^\d{5}")
    sold = ~raw["InvoiceNo"].str.startswith("C") & (raw["Quantity"].astype(float) > 0)
    kept = raw[product & sold & raw["CustomerID"].notna()]
    at = pd.to_datetime(kept["InvoiceDate"]).astype("datetime64[s]").astype("int64")
    renamed = kept[["CustomerID", "InvoiceNo", "StockCode"]].set_axis(
        ["customer", "order", "product"], axis=1
    )
    return renamed.assign(at=at).sort_values("at", kind="stable")


def interactions(lines, as_of):
    past = lines[lines["at"] < as_of]
    codes = {
        each: np.unique(past[each].to_numpy(dtype=str), return_inverse=True) for each in past if each != "at"
    }
    return Interactions(
        **{name: code.astype(np.int64) for name, (_, code) in codes.items()},
        at=past["at"].to_numpy(),
        product_ids=codes["product"][0],
        as_of=as_of,
    )


def bought(own, as_of):
    """own: one customer's lines before `as_of`."""
    found = own.groupby("product").agg(times=("order", "nunique"), first=("at", "min"), last=("at", "max"))
    found = found.sort_values(["last", "first"])
    gaps = (found["last"] - found["first"]) / DAY / (found["times"] - 1).where(found["times"] > 1)
    return CustomerHistory(
        found.index.to_numpy(dtype=str),
        found["times"].to_numpy(),
        ((as_of - found["last"]) / DAY).to_numpy(),
        gaps.to_numpy(),
    )


def cases(lines, blend, as_of):
    """Histories before `as_of` and the positions bought in the window after it, of a sample of customers."""
    later = lines[(lines["at"] >= as_of) & (lines["at"] < as_of + WINDOW_DAYS * DAY)]
    sample = np.random.default_rng(7).permutation(later["customer"].unique())[:SAMPLE]
    earlier = lines[(lines["at"] < as_of) & lines["customer"].isin(sample)]
    pasts = dict(list(earlier.groupby("customer")))
    histories, relevant = [], []
    for customer, own in later[later["customer"].isin(sample)].groupby("customer"):
        positions = blend.catalogue.index.positions(own["product"].unique())
        if (positions >= 0).any():
            past = pasts.get(customer)
            histories.append(CustomerHistory.empty() if past is None else bought(past, as_of))
            relevant.append(positions[positions >= 0])
    return histories, relevant


def hit_share(model, histories, relevant):
    """Recall at 10, over min(10, relevant)."""
    return np.mean(
        [
            np.isin(top(model.scores(each), 10), wanted).sum() / min(10, len(wanted))
            for each, wanted in zip(histories, relevant, strict=True)
        ]
    )


def test_the_blend_beats_each_of_its_sources_on_the_last_window(lines):
    last = int(lines["at"].max()) + 1
    blend = Blend(BlendConfig(als={"factors": 32, "iterations": 8}))
    blend.fit(interactions(lines, last - 2 * WINDOW_DAYS * DAY), seed=1)
    histories, relevant = cases(lines, blend, last - 2 * WINDOW_DAYS * DAY)
    blend.fit_weights([blend.shortlist(each) for each in histories], relevant, seed=1)
    cutoff = last - WINDOW_DAYS * DAY
    blend.fit(interactions(lines, cutoff), seed=1)
    histories, relevant = cases(lines, blend, cutoff)
    shares = {name: hit_share(source, histories, relevant) for name, source in blend.sources.items()}
    assert hit_share(blend, histories, relevant) > max(shares.values())
    assert max(shares, key=shares.get) == "buy_again"
    assert shares["popularity"] > 0.08
