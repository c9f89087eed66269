"""Every twin against its reference: one comparer over the rows that concepts keep in their laws files."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import export

from minillm.strategies import normal, seeds
from minillm.twins import all_functions, as_it_is, excuses, laws_files, public_functions, twins

TWINS = twins()
WITH_GRADIENT = [twin for twin in TWINS if twin.gradient]
each_twin = pytest.mark.parametrize("twin", TWINS, ids=str)
few = settings(max_examples=5)


def split(args, dtype):
    """The arrays among the arguments, floating-point ones as `dtype`, and a function that puts arrays back."""
    leaves, tree = jax.tree.flatten(args, is_leaf=lambda leaf: leaf is None)
    is_array = [isinstance(leaf, np.ndarray) for leaf in leaves]
    found = [cast(leaf, dtype) for leaf, array in zip(leaves, is_array, strict=True) if array]

    def join(arrays):
        rest = iter(arrays)
        both = [next(rest) if array else leaf for leaf, array in zip(leaves, is_array, strict=True)]
        return jax.tree.unflatten(tree, [dtype if leaf is np.float64 else leaf for leaf in both])

    return found, join


def cast(array, dtype):
    return array.astype(dtype) if array.dtype.kind == "f" else array


def has_floats(args):
    """Whether there is a dtype to keep."""
    return any(
        leaf is np.float64 or getattr(leaf, "dtype", np.dtype(int)).kind == "f" for leaf in jax.tree.leaves(args)
    )


def difference(got, expected):
    """The largest difference in a tree of outputs over the largest expected value (or 1, if that is larger)."""
    worst = 0.0
    got_leaves, expected_leaves = jax.tree.leaves(got), jax.tree.leaves(expected)
    assert len(got_leaves) == len(expected_leaves)
    for pair in zip(got_leaves, expected_leaves, strict=True):
        a, b = (np.asarray(leaf, np.float64) for leaf in pair)
        assert a.shape == b.shape
        assert np.array_equal(np.isnan(a), np.isnan(b))
        finite = np.isfinite(b)
        assert np.array_equal(a[~finite], b[~finite], equal_nan=True)
        if finite.any():
            worst = max(worst, np.abs(a - b)[finite].max() / max(np.abs(b[finite]).max(), 1.0))
    return worst


def apart(twin, got, expected):
    """How far two outputs of a twin are from one another, each in its canonical form."""
    return difference(twin.canonical(got, got), twin.canonical(expected, expected))


@partial(jax.jit, static_argnames=("twin", "tree", "rest"))
def jitted(twin, tree, rest, arrays):
    """The twin's outputs, compiled once for each shape."""
    return twin.jax(*filled(tree, rest, arrays))


@each_twin
@given(data=st.data())
def test_float64_equals_the_reference(twin, data):
    args = data.draw(twin.given)
    with jax.enable_x64(True):
        arrays, join = split(args, np.float64)
        got = jitted(twin, *unfilled(join(arrays)), arrays)
        worst = apart(twin, got, twin.reference(*join(arrays)))
    assert worst <= (0 if twin.exact else twin.float64)


@each_twin
@given(data=st.data())
def test_float32_is_near_the_float64_reference(twin, data):
    args = data.draw(twin.given)
    arrays, join = split(args, np.float32)
    _, join_wide = split(args, np.float64)
    got = jitted(twin, *unfilled(join(arrays)), arrays)
    expected = twin.reference(*join_wide([cast(a, np.float64) for a in arrays]))
    assert apart(twin, got, expected) <= (0 if twin.exact else twin.float32)


@each_twin
@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.float32])
@given(data=st.data())
@few
def test_the_dtype_is_kept_on_both_sides(twin, dtype, data):
    """The twin is traced, which tells its dtypes without compiling."""
    args = data.draw(twin.given)
    if not has_floats(args) or (dtype == np.float16 and not twin.float16):
        return
    arrays, join = split(args, np.dtype(dtype))
    sides = [jax.eval_shape(lambda *found: twin.jax(*join(found)), *arrays)]
    if np.dtype(dtype).kind == "f":  # NumPy's own matrix products know no bfloat16
        sides.append(twin.reference(*join(arrays)))
    for outputs in sides:
        kinds = {leaf.dtype for leaf in jax.tree.leaves(outputs) if hasattr(leaf, "dtype")}
        expected = np.dtype(dtype) if twin.keeps_dtype else np.promote_types(dtype, np.float32)
        assert {kind for kind in kinds if kind.kind not in "biu"} <= {expected}


@each_twin
@given(data=st.data())
@settings(max_examples=1)
def test_jitted_equals_eager_and_is_traced_once(twin, data):
    arrays, join = split(data.draw(twin.given), np.float32)
    arrays = [jnp.asarray(a) for a in arrays]
    traces = []

    @jax.jit
    def traced(*found):
        traces.append(1)
        return twin.jax(*join(found))

    flipped = [jnp.asarray(np.flip(a)) for a in arrays]
    once, again = traced(*arrays), traced(*flipped)
    assert len(traces) == 1
    with jax.disable_jit():
        for got, given_arrays in ((once, arrays), (again, flipped)):
            assert apart(twin, got, twin.jax(*join(given_arrays))) <= (0 if twin.exact else 1e-5)


@pytest.mark.parametrize("twin", [twin for twin in TWINS if twin.batched], ids=str)
@given(data=st.data())
@settings(max_examples=2)
def test_vmap_equals_a_loop(twin, data):
    """Two problems of one shape, stacked: mapping over them gives what each gives alone."""
    arrays, join = split(data.draw(twin.given), np.float32)
    flipped = [np.flip(a) for a in arrays]
    stacked = [jnp.asarray(np.stack(pair)) for pair in zip(arrays, flipped, strict=True)]
    mapped = jax.jit(jax.vmap(lambda *found: twin.jax(*join(found))))(*stacked)
    for i, found in enumerate((arrays, flipped)):
        one = jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], mapped)
        alone = jitted(twin, *unfilled(join(found)), found)
        assert apart(twin, one, alone) <= (0 if twin.exact else max(1e-5, twin.float32))


@each_twin
@given(data=st.data())
@settings(max_examples=1)
def test_it_lowers_for_every_platform(twin, data):
    arrays, join = split(data.draw(twin.given), np.float32)
    shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays]
    lowered = export.export(jax.jit(lambda *found: twin.jax(*join(found))), platforms=["cpu", "cuda", "rocm", "tpu"])
    assert len(lowered(*shapes).platforms) == 4


def chosen_arguments(twin, args):
    """The arrays that the gradient is by, their tree, and the outputs' arrays as a function of such arrays."""
    names = list(inspect.signature(twin.reference).parameters)
    places = [names.index(name) for name in twin.gradient]
    leaves, tree = jax.tree.flatten([args[place] for place in places])

    def outputs(function, leaves):
        changed = dict(zip(places, jax.tree.unflatten(tree, leaves), strict=True))
        return jax.tree.leaves(function(*[changed.get(place, arg) for place, arg in enumerate(args)]))

    return leaves, tree, outputs


def unfilled(args):
    """The arguments' tree, and its leaves with ... for each array: what a program is compiled for."""
    leaves, tree = jax.tree.flatten(args, is_leaf=lambda leaf: leaf is None)
    return tree, tuple(... if isinstance(leaf, np.ndarray) else leaf for leaf in leaves)


def filled(tree, rest, arrays):
    """The arguments again, from `unfilled` and arrays."""
    these = iter(arrays)
    return jax.tree.unflatten(tree, [next(these) if leaf is ... else leaf for leaf in rest])


@partial(jax.jit, static_argnames=("twin", "tree", "rest"))
def vjp_of_jax(twin, tree, rest, arrays, upstream):
    """The twin's outputs and gradients, compiled once for each shape."""
    leaves, _, outputs = chosen_arguments(twin, filled(tree, rest, arrays))
    out, vjp = jax.vjp(lambda leaves: outputs(twin.jax, leaves), leaves)
    return out, *vjp(upstream)


def upstream_like(outputs, seed):
    """A random number for each number of a tree of outputs."""
    leaves, tree = jax.tree.flatten(outputs)
    arrays = [np.asarray(normal(seed + i, *np.shape(leaf)), np.float32) for i, leaf in enumerate(leaves)]
    return jax.tree.unflatten(tree, arrays)


def turned(twin, upstream, like, dtype):
    """An upstream gradient of the canonical form, as one of the form that `like` has, with the tree of `upstream`."""
    leaves = jax.tree.leaves(twin.canonical(upstream, like))
    return jax.tree.unflatten(jax.tree.structure(upstream), [np.asarray(leaf, dtype) for leaf in leaves])


def both_gradients(twin, args, dtype, upstream):
    """(outputs, gradients) by hand, and by JAX, for one upstream gradient of the canonical form."""
    arrays, join = split(args, dtype)
    for array in arrays:
        array.flags.writeable = False  # no function may write to its inputs
    args = join(arrays)
    out, vjp = twin.reference_vjp(*args)
    by_hand = vjp(turned(twin, upstream, out, dtype))
    assert jax.tree.structure(list(by_hand)) == chosen_arguments(twin, args)[1]
    tree, rest = unfilled(args)
    like = out if twin.canonical is as_it_is else twin.jax(*args)
    from_above = jax.tree.leaves(turned(twin, upstream, like, dtype))
    out_of_jax, by_jax = vjp_of_jax(twin, tree, rest, arrays, from_above)
    theirs = jax.tree.unflatten(jax.tree.structure(out), [np.asarray(leaf) for leaf in out_of_jax])
    return (out, jax.tree.leaves(by_hand)), (theirs, [np.asarray(leaf) for leaf in by_jax])


@pytest.mark.parametrize("twin", WITH_GRADIENT, ids=str)
@given(data=st.data(), seed=seeds)
def test_the_gradient_by_hand_is_that_of_jax_and_of_central_differences(twin, data, seed):
    """Each array's to 1e-9 of its largest number; and along a random direction to 1e-5, in float64."""
    args = data.draw(twin.given)
    upstream = upstream_like(twin.reference_vjp(*args)[0], seed)
    with jax.enable_x64(True):
        (out, by_hand), (out_of_jax, by_jax) = both_gradients(twin, args, np.float64, upstream)
    assert apart(twin, out_of_jax, out) <= twin.float64
    assert difference(by_hand, by_jax) <= 1e-9
    for hand, expected in zip(by_hand, by_jax, strict=True):
        assert np.abs(hand - expected).max() <= 1e-9 * max(np.abs(expected).max(), 1e-2)

    leaves, _, outputs = chosen_arguments(twin, args)
    for ours, expected in zip(jax.tree.leaves(out), outputs(twin.reference, leaves), strict=True):
        np.testing.assert_array_equal(ours, expected)
    from_above = jax.tree.leaves(turned(twin, upstream, out, np.float64))
    random, step = np.random.default_rng(seed + 1), 1e-5
    for index, (leaf, gradient) in enumerate(zip(leaves, by_hand, strict=True)):
        direction = random.standard_normal(leaf.shape)
        above, below = (
            outputs(twin.reference, [*leaves[:index], leaf + change * direction, *leaves[index + 1 :]])
            for change in (step, -step)
        )
        slope = sum(np.sum(g * (a - b)) for g, a, b in zip(from_above, above, below, strict=True)) / (2 * step)
        along = gradient * direction
        assert abs(slope - np.sum(along)) <= 1e-5 * max(np.sum(np.abs(along)), 1e-2)


@pytest.mark.parametrize("twin", WITH_GRADIENT, ids=str)
@given(data=st.data(), seed=seeds)
@few
def test_float32_gradients_are_near_the_float64_one(twin, data, seed):
    """Those of both sides."""
    args = data.draw(twin.given)
    arrays, join = split(args, np.float32)
    wide_args = join([cast(array, np.float64) for array in arrays])
    out, vjp = twin.reference_vjp(*wide_args)
    upstream = upstream_like(out, seed)
    expected = jax.tree.leaves(vjp(turned(twin, upstream, out, np.float64)))
    within = twin.float32_gradient or 4 * twin.float32
    for _, found in both_gradients(twin, args, np.float32, upstream):
        assert {leaf.dtype for leaf in found} == {np.dtype(np.float32)}
        assert difference(found, expected) <= within


# What the laws files say, and what there is.

FUNCTIONS = all_functions()
GRADIENTS = {name for name in FUNCTIONS if name.rpartition(".")[0].endswith("_vjp")}


def test_every_public_function_is_a_twin_or_excused():
    paired = {f"{twin.home}{side}.{twin.name}" for twin in TWINS for side in ("", "_jax")}
    assert set(FUNCTIONS) - GRADIENTS == paired | set(excuses())


def test_every_gradient_by_hand_is_compared_or_its_function_excused():
    functions = {name.replace("_vjp.", ".").removesuffix("_vjp") for name in GRADIENTS}
    compared = {f"{twin.home}.{twin.name}" for twin in WITH_GRADIENT}
    assert compared <= functions
    assert functions - compared <= set(excuses())
    for twin in WITH_GRADIENT:
        function, vjp = (list(inspect.signature(f).parameters) for f in (twin.reference, twin.reference_vjp))
        assert [name.removesuffix("_vjp") for name in vjp] == function[: len(vjp)]


def test_a_row_stands_in_the_laws_file_of_its_concept():
    for module in laws_files():
        for twin in getattr(module, "TWINS", ()):
            assert twin.home == module.__name__.removesuffix("_laws"), f"{module.__name__}: {twin}"


def test_what_both_sides_have_takes_arguments_alike():
    for name, function in FUNCTIONS.items():
        module, _, short = name.rpartition(".")
        other = public_functions(f"{module}_jax").get(short)
        if other is not None:
            first, second = (list(inspect.signature(f).parameters) for f in (function, other))
            assert second[: len(first)] == first, name


def test_every_public_function_says_what_it_does():
    assert [name for name, function in FUNCTIONS.items() if not (function.__doc__ or "").strip()] == []
