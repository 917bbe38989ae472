"""The published fits on CDNOW (Fader, Hardie & Lee 2005), and what must hold for any shop."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta

from patron.errors import DataError
from patron.models.btyd import BGNBD, MBGNBD, GammaGamma, ParetoNBD

END, WEEK = np.datetime64("1997-09-30"), 7.0


@pytest.fixture(scope="module")
def cdnow(shared_data):
    """x, t_x, T in weeks to 1997-09-30, mean repeat spend, and repeat days in the 39 weeks after."""
    buys: dict[str, dict[np.datetime64, float]] = {}
    for line in (shared_data / "cdnow_sample.txt").read_text().splitlines():
        customer, _, day, _, dollars = line.split()
        date = np.datetime64(f"{day[:4]}-{day[4:6]}-{day[6:]}")
        days = buys.setdefault(customer, {})
        days[date] = days.get(date, 0.0) + float(dollars)
    made = [summary(days) for days in buys.values()]
    return tuple(np.array(each, dtype=np.float64) for each in zip(*made, strict=True))


def summary(days):
    past = sorted(day for day in days if day <= END)
    ages = [(day - past[0]).astype(int) / WEEK for day in [*past, END]]
    spent = [days[day] for day in past[1:]]
    return len(spent), ages[-2], ages[-1], np.mean(spent) if spent else np.nan, len(days) - len(past)


PUBLISHED = [
    (BGNBD, {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}, -9582.4),
    (ParetoNBD, {"r": 0.553, "alpha": 10.578, "s": 0.606, "beta": 11.669}, -9595.0),
    # Not in the papers: `lifetimes` 0.11.3 on the same customers.
    (MBGNBD, {"r": 0.5248, "alpha": 6.1831, "a": 0.8914, "b": 1.6140}, -9582.136),
]
HELD_OUT = {
    BGNBD: (0.7855, 1.6080, 0.6256),
    MBGNBD: (0.7648, 1.6072, 0.6273),
    ParetoNBD: (0.7545, 1.6028, 0.6302),
}


@pytest.mark.parametrize(("family", "parameters", "log_likelihood"), PUBLISHED)
def test_published_fits_on_cdnow(cdnow, family, parameters, log_likelihood):
    x, t_x, T, _, held_out = cdnow
    model = family.fit(x, t_x, T)
    assert {name: getattr(model, name) for name in parameters} == pytest.approx(parameters, abs=1e-3)
    assert model.log_likelihood == pytest.approx(log_likelihood, abs=0.05)
    assert model.log_likelihoods(x, t_x, T).sum() == pytest.approx(model.log_likelihood, abs=1e-6)
    expected = model.expected_purchases(39, x, t_x, T)
    absolute, squared, correlation = HELD_OUT[family]
    assert np.abs(expected - held_out).mean() == pytest.approx(absolute, abs=1e-3)
    assert np.sqrt(np.mean((expected - held_out) ** 2)) == pytest.approx(squared, abs=1e-3)
    assert np.corrcoef(expected, held_out)[0, 1] == pytest.approx(correlation, abs=1e-3)


def test_gamma_gamma_on_cdnow(cdnow):
    x, _, _, mean, _ = cdnow
    model = GammaGamma.fit(x, mean)
    assert (model.p, model.q, model.v) == pytest.approx((6.25, 3.74, 15.44), abs=0.006)
    assert model.expected_spend(np.array([0.0]), np.array([np.nan])) == pytest.approx([35.2], abs=0.1)


MODELS = [
    ParetoNBD(0.55, 10.6, 0.61, 11.7),
    ParetoNBD(0.55, 8.0, 0.61, 11.7),
    ParetoNBD(0.55, 10.6, 1.0, 11.7),
    BGNBD(0.24, 4.4, 0.79, 2.43),
    BGNBD(0.24, 4.4, 1.0, 2.43),
    MBGNBD(0.52, 6.2, 0.89, 1.61),
    MBGNBD(0.52, 6.2, 1.0, 1.61),
]
CUSTOMERS = (
    np.array([0.0, 0, 1, 5, 5, 400]),
    np.array([0.0, 0, 20, 3, 49, 50]),
    np.array([0.0, 50, 50, 50, 50, 50]),
)


@pytest.mark.parametrize("model", MODELS, ids=str)
class TestAnyPurchaseModel:
    def test_answers_are_sane(self, model):
        alive = model.probability_alive(*CUSTOMERS)
        assert ((alive >= 0) & (alive <= 1)).all()
        chance = model.probability_of_purchase(13, *CUSTOMERS)
        expected = model.expected_purchases(13, *CUSTOMERS)
        assert np.isfinite(expected).all()
        assert (chance <= alive + 1e-12).all()
        assert (chance <= expected + 1e-12).all()

    def test_a_longer_horizon_holds_more(self, model):
        found = [model.expected_purchases(t, *CUSTOMERS) for t in (0, 1, 13, 52, 520)]
        assert found[0] == pytest.approx(0, abs=1e-9)
        assert all((late > early).all() for early, late in pairwise(found))

    def test_silence_lowers_the_chance_of_being_alive(self, model):
        five = np.full(4, 5.0)
        alive = model.probability_alive(five, np.array([49.0, 40, 20, 5]), np.full(4, 50.0))
        assert (np.diff(alive) < 0).all()

    def test_json_round_trip(self, model):
        assert (
            type(model).of(json.loads(json.dumps({**model.document(), "log_likelihood": -1.0}))).r == model.r
        )

    def test_no_customers(self, model):
        nobody = np.zeros(0)
        assert model.expected_purchases(13, nobody, nobody, nobody).shape == (0,)
        assert model.probability_of_purchase(13, nobody, nobody, nobody).shape == (0,)


@pytest.mark.parametrize("model", MODELS[:2], ids=str)
@pytest.mark.parametrize("customer", [(0.0, 0.0, 30.0), (3.0, 12.0, 30.0), (40.0, 29.0, 30.0)])
def test_the_pareto_likelihood_is_its_integral(model, customer):
    """s * integral of (alpha + u)^-(r + x) (beta + u)^-(s + 1) over (t_x, T), by brute force."""
    x, t_x, T = (np.array(each) for each in customer)
    r, alpha, s, b = model.r, model.alpha, model.s, model.beta
    alone = (alpha + t_x) ** -(r + x)
    area, _ = quad(lambda u: ((alpha + u) ** -(r + x) / alone) * (b + u) ** -(s + 1), t_x, T, epsabs=0)
    assert np.exp(model._log_stopped(x, t_x, T) - np.log(alone)) == pytest.approx(s * area, rel=1e-8)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_slopes_are_those_of_the_likelihood(model):
    found = np.array(model._by_count(CUSTOMERS[0])[1]) + model._by_age(*CUSTOMERS)[1]
    for name, slopes in zip(list(model.document())[:4], found, strict=True):
        step = 1e-5 * getattr(model, name)
        more, less = (replace(model, **{name: getattr(model, name) + each}) for each in (step, -step))
        told = (more.log_likelihoods(*CUSTOMERS) - less.log_likelihoods(*CUSTOMERS)) / (2 * step)
        assert slopes == pytest.approx(told, rel=1e-6, abs=1e-7)


def test_slopes_of_gamma_gamma_are_those_of_its_likelihood():
    model, x, mean = GammaGamma(6.25, 3.74, 15.4), np.array([1.0, 2, 30]), np.array([35.0, 3, 90])
    found = model._by_count(x)[1] + model._by_value(x, mean, np.log(mean))[1]
    for name, slopes in zip(("p", "q", "v"), found, strict=True):
        step = 1e-5 * getattr(model, name)
        more, less = (replace(model, **{name: getattr(model, name) + each}) for each in (step, -step))
        told = (more.log_likelihoods(x, mean) - less.log_likelihoods(x, mean)) / (2 * step)
        assert slopes == pytest.approx(told, rel=1e-6, abs=1e-7)


def test_modified_bg_nbd_lets_go_after_the_first_purchase():
    """P(alive) and the mean of a one-time buyer, summed over the chance p of leaving by brute force."""
    model, T, t = MBGNBD(0.52, 6.2, 0.89, 1.61), 30.0, 13.0
    stays = model.b / (model.a + model.b) * (model.alpha / (model.alpha + T)) ** model.r
    alive = stays / (stays + model.a / (model.a + model.b))
    nobody = np.zeros(1)
    assert model.probability_alive(nobody, nobody, np.array([T])) == pytest.approx([alive])

    def bought(p: float) -> float:
        """Mean purchases in t of who is alive with chance p; rates follow gamma(r, alpha + T)."""
        return (1 - ((model.alpha + T) / (model.alpha + T + p * t)) ** model.r) / p

    weight = beta(model.a, model.b + 1).pdf
    mean, _ = quad(lambda p: bought(p) * weight(p), 0, 1)
    assert model.expected_purchases(t, nobody, nobody, np.array([T])) == pytest.approx(
        [alive * mean], rel=1e-6
    )


def test_customers_who_never_leave_are_fitted_too():
    """Then any lifetimes long enough are as good, and the search ends at some."""
    rng = np.random.default_rng(3)
    T = rng.uniform(20, 60, 2000)
    x = rng.poisson(rng.gamma(2.0, 1 / 10, 2000) * T).astype(float)
    t_x = np.where(x > 0, T * rng.uniform(0, 1, 2000) ** (1 / np.maximum(x, 1)), 0)
    for family in (ParetoNBD, BGNBD, MBGNBD):
        model = family.fit(x, t_x, T)
        assert model.probability_alive(x, t_x, T).mean() > 0.97
        assert model.expected_purchases(10, x, t_x, T).mean() == pytest.approx(2.0, rel=0.1)


def test_fits_find_what_made_the_data():
    rng = np.random.default_rng(5)
    rates, stops = rng.gamma(0.8, 1 / 6, 3000), rng.exponential(1 / rng.gamma(1.5, 1 / 30, 3000))
    T = rng.uniform(20, 60, 3000)
    bought = [np.cumsum(rng.exponential(1 / rate, 200)) for rate in rates]
    seen = [times[times < min(stop, end)] for times, stop, end in zip(bought, stops, T, strict=True)]
    x, t_x = np.array([len(each) for each in seen]), np.array([each[-1] if len(each) else 0 for each in seen])
    model = ParetoNBD.fit(x, t_x, T)
    assert model.r / model.alpha == pytest.approx(0.8 / 6, rel=0.1)
    assert model.s / model.beta == pytest.approx(1.5 / 30, rel=0.35)


def test_what_cannot_be_fitted_is_said():
    with pytest.raises(DataError, match="None of 3 customers bought twice"):
        ParetoNBD.fit(np.zeros(3), np.zeros(3), np.ones(3))
    with pytest.raises(DataError, match="None of 0 customers"):
        BGNBD.fit([], [], [])
    with pytest.raises(DataError, match="t_x <= T"):
        BGNBD.fit([1.0], [3.0], [2.0])
    with pytest.raises(DataError, match="spend cannot be modelled"):
        GammaGamma.fit([2.0, 0.0], [10.0, np.nan])
