"""The reference keeps every law of `minillm.laws`: those that assignments are checked by, on the same inputs."""

import importlib
import pkgutil

import numpy as np
import pytest
from hypothesis import given

import minillm
from minillm.laws import Broken, Law, agree

MODULES = [m.name for m in pkgutil.walk_packages(minillm.__path__, "minillm.") if m.name.endswith("_laws")]
LAWS = [law for name in MODULES for law in vars(importlib.import_module(name)).values() if isinstance(law, Law)]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_the_reference_keeps_it(law):
    @given(law.given)
    def hold(problem):
        law(*law.subjects, *problem)

    with np.errstate(over="warn", divide="warn", invalid="warn"):
        hold()


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_it_can_fail(law):
    """A function that gives nothing, or zeros, or what is not finite, keeps no law."""

    def nothing(*_, **__):
        return None

    @given(law.given)
    def hold(problem):
        law(*[nothing] * len(law.subjects), *problem)

    with pytest.raises(Broken):
        hold()


@pytest.mark.parametrize(
    ("got", "expected", "verdict"),
    [
        (np.zeros((2, 1)), np.zeros(2), "wrong_shape"),
        (np.zeros(2, np.float32), np.zeros(2), "wrong_dtype"),
        (np.zeros(2, int), np.zeros(2), "wrong_dtype"),
        (np.array([0.0, np.nan]), np.zeros(2), "non_finite"),
        (np.array([0.0, 1e-7]), np.zeros(2), "wrong_value"),
        (np.array([1e9, 1.0]), np.array([1e9, 3.0]), "wrong_value"),
        (np.array([np.nan]), np.array([-np.inf]), "wrong_value"),
        ([0.0], np.zeros(1), "wrong_type"),
        (None, np.zeros(1), "wrong_type"),
    ],
)
def test_how_two_answers_differ(got, expected, verdict):
    with pytest.raises(Broken) as caught:
        agree(got, expected)
    assert caught.value.verdict == verdict


def test_what_agrees():
    agree(np.array([1e9, np.inf, np.nan]), np.array([1e9 + 1e-3, np.inf, np.nan]))
    agree(3, np.asarray(3.0))
    agree(np.float64(2), np.asarray(2.0))
    agree(2, 2.0)
