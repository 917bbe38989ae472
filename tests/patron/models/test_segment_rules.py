from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from patron.errors import ConfigurationError
from patron.models.rule_files import rules_of
from patron.models.segment_rules import SEGMENTS, SHIPPED, Named, Rule, mistakes
from patron.models.segments import Segments, SegmentsConfig
from patron.settings import PROJECT
from tests.patron.models.shop import shop

CUSTOMERS = np.array([*product(range(1, 6), range(1, 6), range(1, 6), (1, 2, 3, 9))], dtype=np.float64)


def before(R, F, M, days):
    """The rules as they stood in code before they could be set."""
    FM = np.floor((F + M) / 2 + 0.5)
    rules = {
        "champions": (R == 5) & (FM >= 4) & (days > 1),
        "loyal": (R >= 3) & (FM >= 4) & (days > 1),
        "cannot_lose": (R <= 2) & (FM == 5),
        "at_risk": (R <= 2) & (FM >= 3),
        "new": (R >= 4) & (days <= 1),
        "potential": (R >= 4) & (FM >= 2),
        "promising": (R >= 4) | ((R == 3) & (days <= 1)),
        "hibernating": R >= 2,
    }
    return np.select(list(rules.values()), list(rules), "lost")


def test_the_shipped_rules_name_everybody_as_before():
    R, F, M, days = CUSTOMERS.T
    possible = (days > 1) | (F == 1)
    found = Named(SHIPPED).of(R, F, M, days)
    assert found[possible].tolist() == before(R, F, M, days)[possible].tolist()
    assert set(found) == set(SEGMENTS)


def test_the_shipped_file_holds_the_defaults():
    assert rules_of(PROJECT / "configs" / "segments.toml", SegmentsConfig) == SegmentsConfig()
    assert rules_of(PROJECT / "configs" / "none.toml", SegmentsConfig, horizon_days=7).horizon_days == 7


@pytest.mark.parametrize(
    ("rule", "who", "holds"),
    [
        (Rule(segment="new", R=(4, 5)), (4, 1, 1, 1), True),
        (Rule(segment="new", R=(4, 5)), (3, 1, 1, 1), False),
        (Rule(segment="new", F=(2, 3)), (1, 3, 1, 2), True),
        (Rule(segment="new", F=(2, 3)), (1, 4, 1, 2), False),
        (Rule(segment="new", M=(5, 5)), (1, 1, 5, 1), True),
        (Rule(segment="new", FM=(3, 3)), (1, 1, 4, 1), True),
        (Rule(segment="new", FM=(3, 3)), (1, 1, 3, 1), False),
        (Rule(segment="new", most_purchase_days=1), (1, 1, 1, 1), True),
        (Rule(segment="new", most_purchase_days=1), (1, 1, 1, 2), False),
        (Rule(segment="new", least_purchase_days=10), (1, 1, 1, 9), False),
        (Rule(segment="new", least_purchase_days=10), (1, 1, 1, 10), True),
        (Rule(segment="new", least_purchase_days=10), (1, 1, 1, 400), True),
    ],
)
def test_a_rule(rule, who, holds):
    named = Named([rule, Rule(segment="lost")])
    assert named.of(*(np.array([each], dtype=np.float64) for each in who)) == ["new" if holds else "lost"]


def test_the_first_rule_that_holds_counts():
    rest = Rule(segment="lost")
    one, other = Rule(segment="loyal", R=(4, 5)), Rule(segment="new", R=(5, 5))
    five = [np.array([5.0])] * 4
    assert Named([one, rest]).of(*five) == ["loyal"]
    assert Named([other, one, rest]).of(*five) == ["new"]


def test_every_mistake_is_told_at_once():
    told = mistakes([Rule(segment="vip", R=(5, 4)), Rule(segment="new", F=(0, 9), most_purchase_days=1)])
    assert told == [
        f"rule 1 (vip): no segment 'vip'. There are: {', '.join(SEGMENTS)}",
        "rule 1 (vip): R = [5, 4] is no range of 1 to 5, the lower end first",
        "rule 2 (new): F = [0, 9] is no range of 1 to 5, the lower end first",
    ]
    (told,) = mistakes(
        [Rule(segment="new", least_purchase_days=3, most_purchase_days=2), Rule(segment="lost")]
    )
    assert told == "rule 1 (new): purchase days of at least 3 and at most 2"


def test_a_rule_that_others_leave_nobody_to_is_told():
    rules = [
        Rule(segment="champions", R=(4, 5)),
        Rule(segment="loyal", R=(1, 4)),
        Rule(segment="new", R=(3, 5)),
        Rule(segment="lost"),
    ]
    assert mistakes(rules) == [
        "rule 3 (new) can never hold: rule 1 (champions), 2 (loyal) takes everybody whom it describes",
        "rule 4 (lost) can never hold: rule 1 (champions), 2 (loyal) takes everybody whom it describes",
    ]


def test_who_bought_on_one_day_is_never_frequent():
    rules = [Rule(segment="new", F=(2, 5), most_purchase_days=1), Rule(segment="lost")]
    assert mistakes(rules) == ["rule 1 (new) can never hold: it describes nobody"]


def test_who_would_have_no_name_is_told():
    (told,) = mistakes([Rule(segment="champions", R=(2, 5)), Rule(segment="lost", R=(1, 1), F=(1, 4))])
    assert told.startswith("no rule names customers such as R 1, F 5, M 1 with 2 purchase days or more (5 ")
    assert mistakes([])[0].startswith("no rule names customers such as R 1, F 1, M 1 with 1 purchase days")


def test_a_wrong_file_is_named_with_all_that_is_wrong(tmp_path):
    path = tmp_path / "segments.toml"
    path.write_text(
        "growth = -1\nunheard = 1\n[[rules]]\nsegment = 'loyal'\nR = [1, 5]\n[[rules]]\nsegment = 'lost'\n"
    )
    with pytest.raises(ConfigurationError) as error:
        rules_of(path, SegmentsConfig)
    assert "segments.toml is wrong" in str(error.value)
    assert "growth: " in str(error.value) and "unheard: " in str(error.value)
    path.write_text(path.read_text().replace("growth = -1\nunheard = 1\n", ""))
    with pytest.raises(ConfigurationError, match=r"rule 2 \(lost\) can never hold: rule 1 \(loyal\)"):
        rules_of(path, SegmentsConfig)
    path.write_text("rules = [")
    with pytest.raises(ConfigurationError, match=r"segments\.toml"):
        rules_of(path, SegmentsConfig)


def test_other_rules_name_otherwise_and_are_kept(tmp_path):
    rules = (Rule(segment="champions", M=(5, 5)), Rule(segment="lost"))
    made = shop(200)
    model = Segments(SegmentsConfig(rules=rules)).fit(made.rows)
    found = model.segment(made.rows)
    assert set(found) == {"champions", "lost"}
    top = made.rows["spend_total"] > np.quantile(made.rows["spend_total"], 0.8)
    assert (found == "champions").tolist() == top.tolist()
    model.save(tmp_path)
    assert Segments.load(tmp_path).segment(made.rows).tolist() == found.tolist()


def test_an_artifact_of_before_has_the_shipped_rules():
    document = Segments().fit(shop(50).rows).document()
    del document["config"]["rules"]
    assert Segments.of(document).config.rules == SHIPPED


@pytest.mark.parametrize(
    ("recency", "purchase_days", "spend", "text"),
    [
        (74, 20, 900, "R 2, F 5, M 5: bought often and much, silent for 74 days"),
        (5, 20, 10, "R 5, F 5, M 1: bought often but little, last order 5 days ago"),
        (1, 1, 900, "R 5, F 1, M 5: bought once but much, last order 1 day ago"),
        (200, 1, 10, "R 1, F 1, M 1: bought once and little, silent for 200 days"),
        (20, 3, 60, "R 4, F 3, M 3: bought now and then and a middling amount, last order 20 days ago"),
        (45, 2, 600, "R 3, F 2, M 5: bought seldom but much, last order 45 days ago"),
        (np.nan, 0, 0, "no order yet"),
    ],
)
def test_why(recency, purchase_days, spend, text):
    model = Segments()
    model.edges = {"recency": [10, 30, 60, 120], "frequency": [1, 2, 4, 8], "spend": [20, 50, 100, 500]}
    rows = {"recency_days": recency, "purchase_days": purchase_days, "spend_total": spend}
    assert model.why({name: np.array([value]) for name, value in rows.items()}) == [text]
