"""Every twin against its reference: one comparer over the registry."""

import importlib
import inspect
import pkgutil
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import export

import minillm
from minillm.twins import ALONE, TWINS
from tests.strategies import problems, seeds

GENERIC = [twin for twin in TWINS if twin.generic]
WITH_GRADIENT = [twin for twin in TWINS if twin.gradient]
each_twin = pytest.mark.parametrize("twin", GENERIC, ids=str)
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


@each_twin
@given(data=st.data())
def test_float64_equals_the_reference(twin, data):
    args = data.draw(problems[str(twin)])
    with jax.enable_x64(True):
        arrays, join = split(args, np.float64)
        got = twin.accelerated(*join([jnp.asarray(a) for a in arrays]))
        worst = difference(twin.canonical(got), twin.canonical(twin.reference(*join(arrays))))
    assert worst <= (0 if twin.exact else twin.float64)


@each_twin
@given(data=st.data())
def test_float32_is_near_the_float64_reference(twin, data):
    args = data.draw(problems[str(twin)])
    arrays, join = split(args, np.float32)
    wide, join_wide = split(join(arrays), np.float64)
    if str(twin) == "rotary.rotary_cos_sin":
        join_wide = split(args, np.float64)[1]
    got = twin.accelerated(*join([jnp.asarray(a) for a in arrays]))
    expected = twin.reference(*join_wide(wide))
    assert difference(twin.canonical(got), twin.canonical(expected)) <= (0 if twin.exact else twin.float32)


@each_twin
@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.float32])
@given(data=st.data())
@few
def test_the_dtype_is_kept_on_both_sides(twin, dtype, data):
    args = data.draw(problems[str(twin)])
    arrays, join = split(args, np.dtype(dtype))
    sides = [jax.tree.leaves(twin.accelerated(*join([jnp.asarray(a) for a in arrays])))]
    if np.dtype(dtype).kind == "f":  # NumPy's own matrix products know no bfloat16
        sides.append(jax.tree.leaves(twin.reference(*join(arrays))))
    for leaves in sides:
        found = {np.asarray(leaf).dtype for leaf in leaves}
        assert {kind for kind in found if kind.kind not in "biu"} <= {np.dtype(dtype)}


@each_twin
@given(data=st.data())
@settings(max_examples=2)
def test_jitted_equals_eager_and_is_traced_once(twin, data):
    arrays, join = split(data.draw(problems[str(twin)]), np.float32)
    arrays = [jnp.asarray(a) for a in arrays]
    traces = []

    @jax.jit
    def jitted(*found):
        traces.append(1)
        return twin.accelerated(*join(found))

    once = jitted(*arrays)
    again = jitted(*[jnp.flip(a) for a in arrays])
    assert len(traces) == 1
    with jax.disable_jit():
        for got, given_arrays in ((once, arrays), (again, [jnp.flip(a) for a in arrays])):
            eager = twin.accelerated(*join(given_arrays))
            assert difference(twin.canonical(got), twin.canonical(eager)) <= (0 if twin.exact else 1e-5)


@pytest.mark.parametrize("twin", [twin for twin in GENERIC if twin.batched], ids=str)
@given(data=st.data())
@few
def test_vmap_equals_a_loop(twin, data):
    """Two problems of one shape, stacked: mapping over them gives what each gives alone."""
    arrays, join = split(data.draw(problems[str(twin)]), np.float32)
    arrays = [jnp.asarray(a) for a in arrays]
    flipped = [jnp.flip(a) for a in arrays]
    mapped = jax.vmap(lambda *found: twin.accelerated(*join(found)))(
        *map(lambda *pair: jnp.stack(pair), arrays, flipped)
    )
    for i, found in enumerate((arrays, flipped)):
        alone = twin.accelerated(*join(found))
        one = jax.tree.map(lambda leaf, i=i: leaf[i], mapped)
        assert difference(twin.canonical(one), twin.canonical(alone)) <= (0 if twin.exact else 1e-5)


@each_twin
@given(data=st.data())
@settings(max_examples=1)
def test_it_lowers_for_every_platform(twin, data):
    arrays, join = split(data.draw(problems[str(twin)]), np.float32)
    shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays]
    lowered = export.export(
        jax.jit(lambda *found: twin.accelerated(*join(found))), platforms=["cpu", "cuda", "rocm", "tpu"]
    )
    assert len(lowered(*shapes).platforms) == 4


def chosen_arguments(twin, args):
    """The arrays that the gradient is by, their tree, and the one output as a function of such arrays."""
    names = list(inspect.signature(twin.reference).parameters)
    places = [names.index(name) for name in twin.gradient]
    leaves, tree = jax.tree.flatten([args[place] for place in places])

    def output(function, leaves):
        changed = dict(zip(places, jax.tree.unflatten(tree, leaves), strict=True))
        [out] = jax.tree.leaves(function(*[changed.get(place, arg) for place, arg in enumerate(args)]))
        return out

    return leaves, tree, output


@partial(jax.jit, static_argnames=("twin", "tree", "rest"))
def vjp_of_jax(twin, tree, rest, arrays, upstream):
    """The twin's output and gradients, compiled once for each shape; `rest` is the leaves that are no arrays."""
    filled = iter(arrays)
    args = jax.tree.unflatten(tree, [next(filled) if leaf is ... else leaf for leaf in rest])
    leaves, _, output = chosen_arguments(twin, args)
    out, vjp = jax.vjp(lambda leaves: output(twin.accelerated, leaves), leaves)
    return out, *vjp(upstream)


def both_gradients(twin, args, dtype, upstream):
    """(output, gradients) by hand, and (output, gradients) by JAX, for one upstream gradient."""
    arrays, join = split(args, dtype)
    for array in arrays:
        array.flags.writeable = False  # no function may write to its inputs
    args, upstream = join(arrays), upstream.astype(dtype)
    out, vjp = twin.reference_vjp(*args)
    by_hand = vjp(upstream)
    assert jax.tree.structure(list(by_hand)) == chosen_arguments(twin, args)[1]
    leaves, tree = jax.tree.flatten(args, is_leaf=lambda leaf: leaf is None)
    rest = tuple(... if isinstance(leaf, np.ndarray) else leaf for leaf in leaves)
    out_of_jax, by_jax = vjp_of_jax(twin, tree, rest, arrays, upstream)
    return (out, jax.tree.leaves(by_hand)), (np.asarray(out_of_jax), [np.asarray(leaf) for leaf in by_jax])


def upstream_gradient(twin, args, seed):
    shape = np.shape(jax.tree.leaves(twin.reference(*args))[0])
    return np.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32))


@pytest.mark.parametrize("twin", WITH_GRADIENT, ids=str)
@given(data=st.data(), seed=seeds)
def test_the_gradient_by_hand_is_that_of_jax_and_of_central_differences(twin, data, seed):
    """Each array's to 1e-9 of its largest number; and along a random direction to 1e-5, in float64."""
    args = data.draw(problems[str(twin)])
    upstream = upstream_gradient(twin, args, seed)
    with jax.enable_x64(True):
        (out, by_hand), (out_of_jax, by_jax) = both_gradients(twin, args, np.float64, upstream)
    assert difference(out, out_of_jax) <= twin.float64
    assert difference(by_hand, by_jax) <= 1e-9
    for hand, expected in zip(by_hand, by_jax, strict=True):
        assert np.abs(hand - expected).max() <= 1e-9 * max(np.abs(expected).max(), 1e-2)

    leaves, _, output = chosen_arguments(twin, args)
    np.testing.assert_array_equal(out, output(twin.reference, leaves))
    random, step = np.random.default_rng(seed + 1), 1e-5
    for index, (leaf, gradient) in enumerate(zip(leaves, by_hand, strict=True)):
        direction = random.standard_normal(leaf.shape)
        above, below = (
            output(twin.reference, [*leaves[:index], leaf + change * direction, *leaves[index + 1 :]])
            for change in (step, -step)
        )
        slope, along = np.sum(upstream * (above - below)) / (2 * step), gradient * direction
        assert abs(slope - np.sum(along)) <= 1e-5 * max(np.sum(np.abs(along)), 1e-2)


@pytest.mark.parametrize("twin", WITH_GRADIENT, ids=str)
@given(data=st.data(), seed=seeds)
@few
def test_float32_gradients_are_near_the_float64_one(twin, data, seed):
    """Those of both sides."""
    args = data.draw(problems[str(twin)])
    arrays, join = split(args, np.float32)
    upstream = upstream_gradient(twin, args, seed)
    wide_args = join([cast(array, np.float64) for array in arrays])
    expected = jax.tree.leaves(twin.reference_vjp(*wide_args)[1](upstream.astype(np.float64)))
    for _, found in both_gradients(twin, args, np.float32, upstream):
        assert {leaf.dtype for leaf in found} == {np.dtype(np.float32)}
        assert difference(found, expected) <= 4 * twin.float32  # a gradient rounds more often than its function


TOPICS = ("layers", "attention", "experts", "transformer", "decomposition", "learning", "adaptation")


def public_functions():
    """Each public function of a concept: "x.name", "x_vjp.name", "x_jax.name" or "fast.x.name"."""
    for topic in TOPICS:
        for module in pkgutil.walk_packages([f"{minillm.__path__[0]}/{topic}"], f"minillm.{topic}."):
            short = module.name.removeprefix(f"minillm.{topic}.")
            if module.ispkg or short.endswith(("_laws", "_flax", "_pallas")):
                continue
            loaded = importlib.import_module(module.name)
            for name, value in vars(loaded).items():
                ours = getattr(value, "__module__", None) == loaded.__name__
                if ours and not name.startswith("_") and callable(value) and not inspect.isclass(value):
                    yield f"{short}.{name}", value


ALL = dict(public_functions())


def twin_names():
    return {f"{twin.module}{side}.{twin.name}" for twin in TWINS for side in ("", "_jax")}


def test_every_public_function_is_a_twin_or_excused():
    assert {name for name in ALL if not name.endswith("_vjp")} == twin_names() | set(ALONE)


def test_every_gradient_by_hand_has_its_function_and_its_test():
    found = {name.replace("_vjp.", ".").removesuffix("_vjp") for name in ALL if name.endswith("_vjp")}
    # An upstream of several parts, which the comparer does not draw: language_model_loss and test_moe_transformer.py
    # hold the first, test_svd.py the second; the third gives a tree, and test_lora.py holds it.
    found -= {"transformer.transformer_with_auxiliary_loss", "low_rank.truncated_svd", "lora.merge_lora"}
    assert found == {str(twin) for twin in WITH_GRADIENT}
    for twin in WITH_GRADIENT:
        function, vjp = (list(inspect.signature(f).parameters) for f in (twin.reference, twin.reference_vjp))
        assert [name.removesuffix("_vjp") for name in vjp] == function[: len(vjp)]


@pytest.mark.parametrize("twin", TWINS, ids=str)
def test_arguments_lead_alike(twin):
    first, second = (list(inspect.signature(f).parameters) for f in (twin.reference, twin.accelerated))
    assert second[: len(first)] == first


def test_every_public_function_says_what_it_does():
    assert [name for name, function in ALL.items() if not (function.__doc__ or "").strip()] == []
