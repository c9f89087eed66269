"""Every law holds of the reference and of its twin, and fails for what is wrong: by value, and never by an accident."""

import inspect
from contextlib import suppress

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.laws import WRONG, Broken, Law, LawError, agree, counted, law, require, several, shaped
from minillm.twins import laws_files, twins

HOMES = {value: module for module in laws_files() for value in vars(module).values() if isinstance(value, Law)}
LAWS = [one for one, module in HOMES.items() if one.body.__module__ == module.__name__]
PARTNERS = {twin.reference: twin.jax for twin in twins()}
BY_VALUE = ("wrong_value", "non_finite")
each_law = pytest.mark.parametrize("law", LAWS, ids=lambda one: one.name)


@each_law
def test_the_reference_keeps_it(law):
    @given(law.given)
    def hold(problem):
        law(*law.subjects, *problem)

    with np.errstate(over="warn", divide="warn", invalid="warn"):
        hold()


# The twin: a law's subjects are functions of the concept, or are made of them in the laws file.


def places(module):
    """Where a laws file finds functions that have a twin: among its own names, and in the modules that it names."""
    named = [one for one in vars(module).values() if inspect.ismodule(one) and one.__name__.startswith("minillm.")]
    for holder in (module, *named):
        for name, value in vars(holder).items():
            if inspect.isfunction(value) and value in PARTNERS:
                yield holder, name, PARTNERS[value]


def on_the_twin(subject, module):
    """The subject as the twin has it, in NumPy's arrays."""

    def twin(*args, **kwargs):
        with pytest.MonkeyPatch.context() as patch:
            for holder, name, partner in list(places(module)):
                patch.setattr(holder, name, partner)
            answer = PARTNERS.get(subject, subject)(*args, **kwargs)
        return jax.tree.map(lambda leaf: np.asarray(leaf) if isinstance(leaf, jax.Array) else leaf, answer)

    return twin


@each_law
def test_the_twin_keeps_it(law):
    subjects = [on_the_twin(subject, HOMES[law]) for subject in law.subjects]

    @given(law.given)
    @settings(max_examples=4)
    def hold(problem):
        law(*subjects, *problem)

    with jax.enable_x64(True), np.errstate(over="warn", divide="warn", invalid="warn"):
        hold()


# What is wrong breaks it.


def leaves_of(answer):
    return answer if isinstance(answer, tuple | list) else (answer,)


def spoiled(answer, kind, args, part=None):
    """A right answer made wrong; each part of it, or one."""
    parts = leaves_of(answer)
    made = [
        wrong(np.asarray(leaf), kind, args) if part is None or part == index else leaf
        for index, leaf in enumerate(parts)
    ]
    return tuple(made) if isinstance(answer, tuple | list) else made[0]


def wrong(right, kind, args):
    if kind == "zeros":
        return np.zeros_like(right)
    if kind == "input":
        given_array = next((np.asarray(arg) for arg in args if isinstance(arg, np.ndarray) and arg.size), np.ones(1))
        return np.resize(given_array, right.shape).astype(right.dtype)
    if kind == "infinities":
        return np.full_like(right, np.inf if right.dtype.kind == "f" else np.array(-1).astype(right.dtype))
    found = right.copy()
    if found.size:
        place = np.unravel_index(np.argmax(np.abs(right)), right.shape)
        off = 1e-3 * (np.abs(right[place]) or 1) if right.dtype.kind == "f" else 1
        found[place] = not found[place] if right.dtype.kind == "b" else found[place] + off
    return found


def breaks(law, kind, changed=None, part=None):
    """Whether such answers, of all its functions or of one, break the law by value for an input that it draws."""
    verdicts = set()

    def spoiling(subject):
        def function(*args, **kwargs):
            return spoiled(subject(*args, **kwargs), kind, args, part)

        return function

    subjects = [spoiling(f) if changed in (None, f) else f for f in law.subjects]

    @given(law.given)
    @settings(max_examples=40)
    def hold(problem):
        if verdicts.isdisjoint(BY_VALUE):
            try:
                law(*subjects, *problem)
            except Broken as broken:
                verdicts.add(broken.verdict)

    with np.errstate(all="ignore"):
        hold()
    return not verdicts.isdisjoint(BY_VALUE)


@each_law
def test_what_is_wrong_breaks_it_by_value(law):
    """Zeros, the input's numbers, infinities, and the right answer off at one place; the law says what does not."""
    kept = {kind for kind in WRONG if not breaks(law, kind)}
    assert kept == set(law.keeps)
    assert all(reason.strip() for reason in law.keeps.values())
    assert len(WRONG) - len(kept) >= 2


SUBJECTS = list(dict.fromkeys(subject for one in LAWS for subject in one.subjects))


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda function: function.__name__)
def test_a_thousandth_at_one_place_is_caught(subject):
    """In every part of an answer, by one law or another."""
    about = [one for one in LAWS if subject in one.subjects]
    parts = []

    @given(about[0].given)
    @settings(max_examples=1)
    def count(problem):
        def counting(*args, **kwargs):
            parts[:] = range(len(leaves_of(answer := subject(*args, **kwargs))))
            return answer

        about[0](*[counting if f is subject else f for f in about[0].subjects], *problem)

    count()
    assert [part for part in parts if not any(breaks(one, "off", subject, part) for one in about)] == []


# Whatever a function answers, the law's own arithmetic stands.

ODD = [None, "text", b"", [], (), {}, [[1.0], [2.0, 3.0]], True, 7, 10**400, 1.5, float("nan"), 1e308, 1j, object()]
ODD += [np.zeros(0), np.zeros((0, 0)), np.float32(2), np.array("x"), np.array(None), np.array([1, "x", None], object)]
ODD += [np.full((3, 3), 1e308), np.array([np.nan, np.inf]), np.ones((2, 2), complex), (None, None), (None,) * 3]
ODD += [(1e308,) * 2, (np.full(3, np.inf),) * 3, ("a", "b", "c"), np.ma.masked_all(2), np.datetime64("2001-01-01")]


@each_law
def test_no_answer_upsets_its_arithmetic(law):
    @given(law.given, st.sampled_from(["whole", "parts", "dtype"]), st.sampled_from(range(len(ODD))))
    @settings(max_examples=len(ODD) * 2)
    def hold(problem, where, index):
        def odd(subject):
            def function(*args, **kwargs):
                if where == "whole":
                    return ODD[index]
                answer = subject(*args, **kwargs)
                if where == "dtype":
                    dtype = [object, complex, np.float32, np.int8, bool, str][index % 6]
                    made = [np.asarray(leaf).astype(dtype) for leaf in leaves_of(answer)]
                else:
                    made = [
                        ODD[index] if i == index % len(leaves_of(answer)) else x
                        for i, x in enumerate(leaves_of(answer))
                    ]
                return tuple(made) if isinstance(answer, tuple | list) else made[0]

            return function

        with suppress(Broken):
            law(*map(odd, law.subjects), *problem)

    hold()


def test_a_fault_of_the_law_is_no_verdict_and_a_fault_of_the_function_goes_through():
    @law(abs, given=st.tuples(st.integers()))
    def at_fault(function, x):
        return 1 / (function(x) * 0)

    with pytest.raises(LawError, match=r"at_fault: ZeroDivisionError.* on \(3,\)"):
        at_fault(abs, 3)
    with pytest.raises(TypeError, match="bad operand"):
        at_fault(abs, "text")


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


def test_answers_are_looked_at_before_they_are_reckoned_with():
    like = np.zeros(2)
    for answer, verdict in (
        (None, "wrong_type"),
        (np.zeros(3), "wrong_shape"),
        (np.zeros(2, complex), "wrong_dtype"),
        (np.array([0.0, np.nan]), "non_finite"),
    ):
        with pytest.raises(Broken) as caught:
            shaped(answer, like)
        assert caught.value.verdict == verdict
    with pytest.raises(Broken, match="it should give 2 things: a, b"):
        several((1, 2, 3), 2, "a, b")
    with pytest.raises(Broken, match="it is beyond every floating-point number"):
        agree(10**400, np.asarray(1.0))
    with pytest.raises(Broken, match="the larger first"):
        require(np.array([True, False]), "the larger first")
    assert counted(np.array([1], np.int8)).dtype == np.int64
    assert counted(None) is None
