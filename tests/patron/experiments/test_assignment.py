"""Who gets which arm: the same for ever, in the right shares, nobody twice, and nobody before the start."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from patron.errors import ConfigurationError
from patron.experiments.assignment import Experiments
from patron.experiments.terms import Experiment
from patron.settings import PROJECT

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOME = "placement:home"
UNITS = [f"c{number}" for number in range(10_000)]


def made(name: str = "spread", shares: tuple[float, ...] = (0.5, 0.5), **more: Any) -> Experiment:
    arms = [{"name": f"arm{number}", "share": each} for number, each in enumerate(shares)]
    return Experiment(**{"name": name, "target": HOME, "enabled": True, "arms": arms, **more})


def arms_of(*experiments: Experiment, target: str = HOME) -> dict[str, str | None]:
    found = Experiments.of(experiments)
    return {
        unit: assignment and assignment.label
        for unit in UNITS
        for assignment in [found.assigned(target, unit, NOW)]
    }


def test_a_unit_keeps_its_arm_wherever_it_is_asked() -> None:
    asked = Experiments.of([made()])
    first = asked.assigned(HOME, "c1", NOW)
    assert first is not None
    assert first == Experiments.of([made()]).assigned(HOME, "c1", NOW + timedelta(days=99))
    assert (first.experiment, first.arm) == ("spread", "arm0")  # for ever: a change here deals everybody anew


def test_arms_have_their_shares_and_the_rest_takes_no_part() -> None:
    counts = Counter(arms_of(made(shares=(0.1, 0.3))).values())
    for arm, share in (("spread:arm0", 0.1), ("spread:arm1", 0.3), (None, 0.6)):
        error = (share * (1 - share) / len(UNITS)) ** 0.5
        assert abs(counts[arm] / len(UNITS) - share) < 4 * error


def test_larger_shares_in_the_same_ratio_move_nobody() -> None:
    small, large = arms_of(made(shares=(0.05, 0.1))), arms_of(made(shares=(0.3, 0.6)))
    inside = [unit for unit, arm in small.items() if arm]
    assert inside
    assert [large[unit] for unit in inside] == [small[unit] for unit in inside]


def test_another_salt_deals_everybody_anew() -> None:
    one, other = arms_of(made()), arms_of(made(salt="again"))
    same = sum(one[unit] == other[unit] for unit in UNITS) / len(UNITS)
    assert abs(same - 0.5) < 0.02


def test_experiments_of_a_layer_share_no_unit_and_those_of_two_layers_are_independent() -> None:
    first = made("first", (0.2, 0.2))
    second = made("second", (0.3, 0.3), begins_at=0.4)
    names = {str(each).split(":")[0] for each in arms_of(first, second).values()}
    assert names == {"first", "second"}
    elsewhere = made("other", target="placement:cart")
    crossed = Counter(
        zip(arms_of(made()).values(), arms_of(elsewhere, target="placement:cart").values(), strict=True)
    )
    assert len(crossed) == 4
    assert all(abs(count / len(UNITS) - 0.25) < 0.02 for count in crossed.values())


@pytest.mark.parametrize(
    "other",
    [
        made("other", (0.3, 0.3), begins_at=0.3),
        made("other", (0.1, 0.1), layer="mine"),
        made("other", (0.3, 0.3), target="placement:cart", layer=HOME),
    ],
)
def test_two_that_would_treat_one_unit_are_refused(other: Experiment) -> None:
    with pytest.raises(ValueError, match=r"overlap in layer|from two layers"):
        Experiments.of([made("one"), other])


def test_two_that_follow_each_other_are_not() -> None:
    first = made("first", ends_at=NOW)
    assert set(arms_of(first, made("second", starts_at=NOW)).values()) == {"second:arm0", "second:arm1"}


@pytest.mark.parametrize(
    "when",
    [{"enabled": False}, {"starts_at": NOW + timedelta(seconds=1)}, {"ends_at": NOW}],
)
def test_nobody_is_assigned_outside_of_its_time(when: dict[str, Any]) -> None:
    assert set(arms_of(made(**when)).values()) == {None}


def test_sessions_take_no_part_in_an_experiment_of_customers() -> None:
    found = Experiments.of([made(units="customers")])
    assert found.assigned(HOME, "s1", NOW, customer=False) is None
    assert found.assigned(HOME, "s1", NOW) is not None


# Files


def test_what_is_shipped_is_off() -> None:
    shipped = Experiments.load(PROJECT / "configs" / "experiments")
    assert shipped.known
    assert {each.state(NOW) for each in shipped.known.values()} == {"off"}
    assert not shipped.on(HOME)


WRONG = {
    "two arms": ("arms", [{"name": "a", "share": 0.5}, {"name": "a", "share": 0.5}], "one name"),
    "too much": ("arms", [{"name": "a", "share": 0.8}, {"name": "b", "share": 0.8}], "above 1"),
    "rule": (
        "arms",
        [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5, "parameters": {"divrsity": 1}}],
        "no parameter divrsity",
    ),
    "value": (
        "arms",
        [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5, "parameters": {"diversity": 2}}],
        "less than or equal to 1",
    ),
    "target": ("target", "model:churn", "pattern"),
    "metric": ("metrics", ["happiness"], "Input should be"),
    "version": (
        "arms",
        [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5, "parameters": {"version": "../3"}}],
        "version is one of the registry",
    ),
    "zone": ("starts_at", datetime(2026, 1, 1), "time zone"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_mistake_in_a_file_is_named(wrong: str) -> None:
    key, value, words = WRONG[wrong]
    with pytest.raises(ValueError, match=words):
        made(**{key: value})


def test_a_wrong_file_and_an_unknown_name_tell_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="There are: none; write configs/experiments"):
        Experiments.load(tmp_path).named("nowhere")
    (tmp_path / "spread.toml").write_text('target = "placement:home"\nshares = 3\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"spread\.toml is wrong:\n[^§]*shares"):
        Experiments.load(tmp_path)
