"""The rules of claims: each form by cases computed by hand, and what a rule or a measurement must not be."""

import math

import numpy as np
import pytest

from minillm.course.rules import read_rule
from minillm.course.statistics import (
    difference_interval,
    paired_answers_interval,
    proportion_interval,
    student_quantile,
)
from minillm.course.verdicts import Measurement, apply
from minillm.errors import InputError


def decided(values, minus=None, standard_error=None, dof=None, **rule):
    return apply(read_rule(rule, "rule"), Measurement(values, minus, standard_error, dof), "claim").verdict


# The table that every statistics book prints (two-sided 95 %, and 99 % in the last two rows).
@pytest.mark.parametrize(
    ("probability", "dof", "printed"),
    [
        (0.975, 1, 12.7062),
        (0.975, 2, 4.3027),
        (0.975, 4, 2.7764),
        (0.975, 9, 2.2622),
        (0.975, 30, 2.0423),
        (0.975, 120, 1.9799),
        (0.975, math.inf, 1.9600),
        (0.995, 2, 9.9248),
        (0.995, 60, 2.6603),
    ],
)
def test_students_quantile_is_the_tables(probability, dof, printed):
    assert student_quantile(probability, dof) == pytest.approx(printed, abs=5e-5)
    assert student_quantile(1 - probability, dof) == pytest.approx(-printed, abs=5e-5)


def test_students_quantile_has_closed_forms():
    # dof 1 is Cauchy: tan(pi (p - 1/2)); dof 2: with a = 2 p - 1, a sqrt(2 / (1 - a^2)). Far out, too.
    for p in (0.6, 0.9, 0.99999):
        a = 2 * p - 1
        assert student_quantile(p, 1) == pytest.approx(math.tan(math.pi * (p - 0.5)), rel=1e-9)
        assert student_quantile(p, 2) == pytest.approx(a * math.sqrt(2 / (1 - a * a)), rel=1e-9)


def test_three_seeds_need_more_than_two_standard_errors():
    # Mean 2, error 1 / sqrt(3) = 0.577: two errors stay above 0 (0.845), the interval (2 - 4.3027 * 0.577) does not.
    rule = {"form": "above", "than": 0, "over": "seeds"}
    assert decided([1.0, 2.0, 3.0], **rule) == "undecided"
    assert decided([11.0, 12.0, 13.0], **rule) == "supported"
    assert decided([-11.0, -12.0, -13.0], **rule) == "refuted"
    # The interval of 2.5, 3.5, 4.5 is 3.5 +- 2.484, that is from 1.016; at 99 % (5 looks) 3.5 +- 5.730.
    assert decided([2.5, 3.5, 4.5], form="above", than=1.01, over="seeds") == "supported"
    assert decided([2.5, 3.5, 4.5], form="above", than=1.02, over="seeds") == "undecided"
    assert decided([2.5, 3.5, 4.5], form="above", than=1.01, over="seeds", looks=5) == "undecided"


def test_pairs_take_away_what_the_seeds_share():
    # Seeds spread by 10, the differences 1.0, 1.1, 0.9 by 0.1: 1 +- 4.3027 * 0.1 / sqrt(3) = 1 +- 0.248.
    left, right = [1.0, 11.1, 20.9], [0.0, 10.0, 20.0]
    assert decided(left, right, form="above", than=0.75, over="seeds", pairs=True) == "supported"
    assert decided(left, right, form="above", than=0.76, over="seeds", pairs=True) == "undecided"
    assert decided(left, right, form="above", than=0.0, over="seeds") == "undecided"


def test_welch_by_hand():
    # Both variances 1, n = 3: error sqrt(2/3) = 0.8165, dof (2/3)^2 / (2 (1/3)^2 / 2) = 4, t = 2.7764: 9 +- 2.2670.
    interval = difference_interval(np.array([10.0, 11.0, 12.0]), np.array([1.0, 2.0, 3.0]), 0.95)
    assert (interval.estimate, interval.n) == (9.0, 6)
    assert interval.low == pytest.approx(9 - 2.2670, abs=1e-4)
    assert interval.high == pytest.approx(9 + 2.2670, abs=1e-4)


def test_answers_have_the_exact_binomial_interval():
    # Clopper and Pearson's classical case, 8 of 10: 0.4439 to 0.9748; all of 10: from 0.025^(1/10) = 0.6915.
    interval = proportion_interval(8, 10, 0.95)
    assert (interval.low, interval.high) == (pytest.approx(0.4439, abs=5e-5), pytest.approx(0.9748, abs=5e-5))
    interval = proportion_interval(10, 10, 0.95)
    assert (interval.low, interval.high) == (pytest.approx(0.6915, abs=5e-5), 1.0)
    rule = {"form": "above", "than": 0.5, "over": "sentences"}
    assert decided([True] * 8 + [False] * 2, **rule) == "undecided"
    assert decided([True] * 10, **rule) == "supported"
    assert decided([False] * 10, **rule) == "refuted"


def test_paired_answers_are_mcnemars_exact_test():
    # Six questions all answered better: two-sided p = 2 / 2^6 = 0.031, rejected; five: 2 / 2^5 = 0.0625, not.
    # The 100 questions on which both agree say nothing, whatever they are.
    rule = {"form": "above", "than": 0, "over": "sentences", "pairs": True}
    for better, verdict in ((6, "supported"), (5, "undecided")):
        after = np.array([True] * better + [True, False] * 50)
        before = np.array([False] * better + [True, False] * 50)
        assert decided(after, before, **rule) == verdict
        if verdict == "supported":
            assert decided(before, after, **rule) == "refuted"
    # p of the split from 0.025^(1/6) = 0.5407 to 1: (2 p - 1) 6 / 106 from 0.0046 to 0.0566.
    interval = paired_answers_interval(np.array([True] * 6 + [False] * 100), np.zeros(106, bool), 0.95)
    assert interval.low == pytest.approx(0.0046, abs=1e-4)
    assert interval.high == pytest.approx(6 / 106)
    same = paired_answers_interval(np.array([True, False]), np.array([True, False]), 0.95)
    assert (same.low, same.high) == (0, 0)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.01, 0.0, -0.01], "supported"),  # 0 +- 4.3027 * 0.01 / sqrt(3) = 0 +- 0.0248, inside 0.05
        ([0.03, 0.0, -0.03], "undecided"),  # 0 +- 0.0745
        ([0.21, 0.2, 0.19], "refuted"),  # from 0.175
    ],
)
def test_equivalence_wants_the_whole_interval_inside(values, verdict):
    assert decided(values, form="equal", to=0, within=0.05, over="seeds") == verdict
    assert decided(values, form="between", low=-0.05, high=0.05, over="seeds") == verdict


@pytest.mark.parametrize(
    ("rule", "right", "wrong"),
    [
        ({"form": "above", "than": 2}, [2.1, 3], [2, 3]),  # every one, and more than 2
        ({"form": "above", "than": 2, "or_equal": True}, [2, 3], [1.9, 3]),
        ({"form": "below", "than": 2}, 1.9, 2),
        ({"form": "below", "than": 2, "or_equal": True}, 2, 2.1),
        ({"form": "equal", "to": 0}, [0, 0.0], 1e-300),
        ({"form": "equal", "to": 1, "within": 0.25}, [0.75, 1.25], [1, 1.26]),
        ({"form": "between", "low": 3, "high": 30}, [3, 30], [2.99, 10]),
        ({"form": "holds"}, [True, True], [True, False]),
        ({"form": "order", "labels": ["a", "b"], "direction": "rising"}, {"b": 2, "a": 1}, {"a": 1, "b": 1}),
        (
            {"form": "order", "labels": ["a", "b", "c"], "direction": "falling"},
            {"a": [3, 30], "b": [2, 20], "c": [1, 10]},
            {"a": [3, 30], "b": [2, 20], "c": [1, 21]},
        ),
    ],
)
def test_facts_hold_all_or_not(rule, right, wrong):
    assert decided(right, **rule) == "supported"
    assert decided(wrong, **rule) == "refuted"


def test_an_order_over_seeds_needs_each_step():
    rule = {"form": "order", "labels": ["a", "b", "c"], "direction": "rising", "over": "seeds", "pairs": True}
    a, b = np.array([0.0, 10, 20]), np.array([1.0, 11.1, 20.9])
    # Two steps share the 5 %: t(0.9875, 2) = 6.205, so b - a = 1 +- 0.358 and c - b = 0.3 +- 0.358.
    assert decided({"a": a, "b": b, "c": b + np.array([1.0, 1.1, 0.9])}, **rule) == "supported"
    assert decided({"a": a, "b": b, "c": b + np.array([0.3, 0.4, 0.2])}, **rule) == "undecided"
    assert decided({"a": a, "b": b, "c": b - np.array([1.0, 1.1, 0.9])}, **rule) == "refuted"


def test_all_parts_must_be_supported():
    seeds = {"form": "above", "than": 0, "over": "seeds"}
    parts = [{"form": "above", "than": 2}, seeds]
    assert decided([3, [11, 12, 13]], form="all", parts=parts) == "supported"
    assert decided([1, [11, 12, 13]], form="all", parts=parts) == "refuted"
    assert decided([3, [1, 2, 3]], form="all", parts=parts) == "undecided"
    assert decided([1, [1, 2, 3]], form="all", parts=parts) == "refuted"
    assert decided([3, Measurement([12, 13, 14], minus=[1, 1, 1])], form="all", parts=parts) == "supported"
    # Alone 3.5 +- 2.484 is above 1; two such parts share the 5 %: 3.5 +- 6.205 / sqrt(3) = 3.5 +- 3.58.
    one = seeds | {"than": 1}
    assert decided([2.5, 3.5, 4.5], **one) == "supported"
    assert decided([[2.5, 3.5, 4.5], [11, 12, 13]], form="all", parts=[one, one]) == "undecided"


def test_a_standard_error_of_the_lessons_own():
    # 1 +- 2.2622 * 0.4 (dof 9) = 0.095; with dof 2 it is 1 +- 1.72.
    rule = {"form": "above", "than": 0, "over": "passages"}
    assert decided(1.0, standard_error=0.4, dof=9, **rule) == "supported"
    assert decided(1.0, standard_error=0.4, dof=2, **rule) == "undecided"
    assert decided(-1.0, standard_error=0.4, dof=9, **rule) == "refuted"


def test_a_contrast_of_exactly_nothing_is_undecided():
    assert decided([0.0, 0.0, 0.0], form="above", than=0, over="seeds") == "undecided"


@pytest.mark.parametrize(
    ("given", "rule", "words"),
    [
        ([1.0], {"form": "above", "than": 0, "over": "seeds"}, "one value has no interval"),
        ([1.0, math.nan], {"form": "above", "than": 0, "over": "seeds"}, "finite numbers"),
        (math.inf, {"form": "above", "than": 0}, "finite numbers"),
        (np.zeros((2, 2)), {"form": "equal", "to": 0}, "one for each run"),
        ([], {"form": "equal", "to": 0}, "finite numbers"),
        ("supported", {"form": "holds"}, "finite numbers"),
        (1.0, {"form": "holds"}, "not true or false"),
        (True, {"form": "above", "than": 0}, "wants numbers"),
        ({"a": 1}, {"form": "order", "labels": ["a", "b"], "direction": "rising"}, "each of a, b"),
        ([1], {"form": "all", "parts": [{"form": "holds"}, {"form": "holds"}]}, "list of 2 measurements"),
    ],
)
def test_what_is_no_measurement(given, rule, words):
    with pytest.raises(InputError, match=words):
        decided(given, **rule)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"values": [1.0, 2.0], "minus": [1.0, 2.0, 3.0]}, "cannot be paired"),
        ({"values": [True, False], "minus": [1.0, 2.0]}, "cannot be subtracted"),
        ({"values": [True, False], "minus": [True, True]}, "compared with 0 only"),
        ({"values": 1.0, "standard_error": 0.1}, "both standard_error and dof"),
        ({"values": [1.0, 2.0], "standard_error": 0.1, "dof": 2}, "one value"),
        ({"values": 1.0, "standard_error": math.nan, "dof": 2}, "error of 0 or more"),
    ],
)
def test_what_does_not_fit_together(given, words):
    with pytest.raises(InputError, match=words):
        decided(form="above", than=0.5, over="seeds", pairs=True, **given)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("above 0", "write it as a table"),
        ({"form": "larger"}, "'larger'; choose one of above"),
        ({"form": "above", "then": 0}, "unknown key 'then'"),
        ({"form": "holds", "over": "seeds"}, "unknown key 'over'"),
        ({"form": "above"}, "lacks than"),
        ({"form": "between", "low": 1, "high": 0}, "low 1 above high 0"),
        ({"form": "above", "than": math.nan}, "finite number"),
        ({"form": "above", "than": True}, "finite number"),
        ({"form": "above", "than": 0, "over": ""}, "write words"),
        ({"form": "above", "than": 0, "over": "seeds", "looks": 0}, "1 or more"),
        ({"form": "above", "than": 0, "over": "seeds", "pairs": 1}, "true or false"),
        ({"form": "above", "than": 0, "pairs": True}, "without over"),
        ({"form": "equal", "to": 0, "over": "seeds"}, "never exactly equal"),
        ({"form": "equal", "to": 0, "within": -1}, "within = -1"),
        ({"form": "order", "labels": ["a", "a"], "direction": "rising"}, "different texts"),
        ({"form": "order", "labels": ["a", "b"], "direction": "up"}, "rising or falling"),
        ({"form": "all", "parts": [{"form": "holds"}]}, "two or more rules"),
        ({"form": "all", "parts": [{"form": "holds"}, {"form": "above"}]}, "part 2: rule lacks than"),
    ],
)
def test_what_is_no_rule(rule, words):
    with pytest.raises(InputError, match=words):
        read_rule(rule, "lesson.toml, claim 'x'")


def test_a_rule_keeps_its_table():
    table = {"form": "above", "of": "gain", "than": 0, "over": "seeds", "pairs": True}
    assert read_rule(table, "").as_table() == table
    parts = {"form": "all", "parts": [{"form": "holds"}, {"form": "equal", "to": 1, "within": 0.1}]}
    assert read_rule(parts, "").as_table() == parts
    assert read_rule(parts, "").in_words() == "it holds; and it 1 to within 0.1"
