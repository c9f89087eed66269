"""Every fast form of the mixture of experts is the plain twin: values and gradients."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minillm.config import MoEConfig
from minillm.errors import InputError
from minillm.experts.fast import choose
from minillm.experts.fast.buffers import buffered
from minillm.experts.fast.grouped import backward_at_once, forward_at_once
from minillm.experts.fast.grouped_matmul_pallas import grouped_matmul
from minillm.experts.fast.row_layout import chunked
from minillm.experts.mixture_jax import mixture
from minillm.experts.mixture_laws import expert_weights
from minillm.experts.mixture_vjp import mixture_vjp
from minillm.strategies import normal

MOST = 40  # tokens of the largest problem: what a buffer must hold where all choose one expert


def of_mixture(mixture):
    """Output and gradients of a form that JAX differentiates."""

    def both(x, gates, experts, kept, weights, g):
        out, vjp = jax.vjp(lambda x, gates, weights: mixture(x, gates, experts, kept, weights), x, gates, weights)
        return out, vjp(g)

    return jax.jit(both)


def of_product(product):
    """The same of the form that GPUs and TPUs run, all experts at once, with this product in it."""

    def both(*arrays):
        *arguments, g = arrays
        out, widened = forward_at_once(product, *arguments)
        return out, backward_at_once(product, *arguments, widened, g)

    return jax.jit(both)


plain, laid_out = of_mixture(mixture), jax.jit(chunked, static_argnums=2)
FORMS = {
    "chosen here": of_mixture(choose.mixture),  # on a CPU, chunk by chunk
    "ragged_dot": of_product(jax.lax.ragged_dot),
    "kernel": of_product(partial(grouped_matmul, interpret=True)),
    "buffers": of_mixture(partial(buffered, capacity=MOST)),
    "chosen for a capacity": of_mixture(partial(choose.mixture, capacity=MOST)),
}


def loads_of(kind, num_tokens, num_experts, seed):
    """Choices of two experts a token, from even to all alike."""
    random = np.random.default_rng(seed)
    popularity = {
        "even": np.zeros(num_experts),
        "skewed": -np.arange(num_experts),
        "alike": -9.0 * np.arange(num_experts),
    }
    logits = random.gumbel(size=(num_tokens, num_experts)) + popularity[kind]
    return np.argsort(-logits, axis=-1)[:, :2].astype(np.int32)


def numbers(kind, num_tokens, num_experts, gated):
    """Arguments and an upstream gradient; some choices are not kept."""
    chosen = loads_of(kind, num_tokens, num_experts, 5)
    kept = np.random.default_rng(6).random(chosen.shape) < 0.8
    x, gates, g = normal(2, num_tokens, 7), normal(3, num_tokens, 2), normal(4, num_tokens, 7)
    return x, gates, chosen, kept, expert_weights(1, gated, num_experts), g


@cache
def problem(kind, num_tokens, num_experts, gated, dtype):
    """Such arrays, one token not finite but sent nowhere; and what the plain twin makes of them."""
    x, _, _, kept, *_ = arrays = numbers(kind, num_tokens, num_experts, gated)
    x[1], kept[1] = np.inf, False
    arrays = jax.tree.map(lambda a: jnp.asarray(a, dtype if a.dtype.kind == "f" else a.dtype), arrays)
    return arrays, plain(*arrays)


@pytest.mark.parametrize("kind", ["even", "skewed", "alike"])
@pytest.mark.parametrize(
    ("num_tokens", "num_experts", "gated", "dtype"),
    [(40, 8, True, "float32"), (40, 8, False, "float32"), (40, 8, True, "bfloat16"), (5, 2, True, "float32")],
)
@pytest.mark.parametrize("form", FORMS)
def test_a_fast_form_is_the_plain_twin(form, kind, num_tokens, num_experts, gated, dtype):
    arrays, expected = problem(kind, num_tokens, num_experts, gated, dtype)
    within = 1e-5 if dtype == "float32" else 2.0**-6
    for ours, right in zip(jax.tree.leaves(FORMS[form](*arrays)), jax.tree.leaves(expected), strict=True):
        assert ours.dtype == right.dtype == dtype
        wide = [np.asarray(numbers, np.float64) for numbers in (ours, right)]
        np.testing.assert_allclose(*wide, atol=within * max(1, np.abs(wide[1]).max()))


@pytest.mark.parametrize("kind", ["even", "skewed", "alike"])
@pytest.mark.parametrize(("num_tokens", "num_experts"), [(97, 5), (61, 13)])
def test_chunks_of_every_size_give_what_the_reference_gives(kind, num_tokens, num_experts):
    arrays = numbers(kind, num_tokens, num_experts, True)
    *arguments, g = arrays
    out, vjp = mixture_vjp(*arguments)
    with jax.enable_x64(True):
        ours = FORMS["chosen here"](*arrays)
    for got, right in zip(jax.tree.leaves(ours), jax.tree.leaves((out, vjp(g))), strict=True):
        np.testing.assert_allclose(got, right, atol=1e-12)


@pytest.mark.parametrize("kind", ["even", "skewed", "alike"])
@pytest.mark.parametrize(("num_tokens", "num_experts"), [(97, 5), (61, 13), (5, 2), (2048, 64)])
def test_chunks_cover_every_kept_choice_once_and_little_else(kind, num_tokens, num_experts):
    chosen = loads_of(kind, num_tokens, num_experts, 0)
    kept = np.random.default_rng(1).random(chosen.shape) < 0.9
    layout, chunks = laid_out(jnp.asarray(chosen), jnp.asarray(kept), num_experts)
    sizes = tuple(int(size) for size in chunks.sizes)
    work = [(int(e), i * sizes[-1], sizes[-1]) for i, e in enumerate(chunks.whole_experts[: int(chunks.whole)])]
    rests = zip(*map(np.asarray, (chunks.rest_experts, chunks.rest_firsts, chunks.rest_lengths)), strict=True)
    work += [tuple(int(number) for number in rest) for rest in rests if rest[2] > 0]
    owner = np.full(len(layout.token), -1)
    for expert, first, length in work:
        assert (owner[first : first + length] == -1).all()
        owner[first : first + length] = expert
    rows, tokens = np.asarray(layout.row), np.asarray(layout.token)
    np.testing.assert_array_equal(owner[rows[kept]], chosen[kept])
    np.testing.assert_array_equal(tokens[rows[kept]], np.nonzero(kept)[0])
    assert (owner >= 0).sum() == kept.sum() == len(set(rows[kept].tolist()))
    assert (rows[~kept] == len(tokens)).all()
    computed = sum(next(size for size in sizes if size >= length) for _, _, length in work)
    assert computed <= 1.25 * kept.sum() + sizes[0] * num_experts


def test_a_choice_beyond_the_capacity_is_lost():
    """Two tokens want expert 0, whose buffer holds one: the second gets 0."""
    x, ones = jnp.asarray(normal(0, 2, 7), jnp.float32), jnp.ones((2, 1))
    weights = jax.tree.map(jnp.float32, expert_weights(1, True))
    chosen, kept = jnp.zeros((2, 1), jnp.int32), jnp.ones((2, 1), bool)
    out = choose.mixture(x, ones, chosen, kept, weights, capacity=1)
    np.testing.assert_allclose(out[0], mixture(x, ones, chosen, kept, weights)[0], rtol=1e-5)
    np.testing.assert_array_equal(out[1], 0)


def test_what_does_not_fit_is_named():
    x, ones, chosen = np.ones((4, 7), np.float32), np.ones((4, 1), np.float32), np.zeros((4, 1), np.int32)
    weights = jax.tree.map(np.float32, expert_weights(0, True))
    with pytest.raises(InputError, match="chosen from 5 to 5; there are 5, from 0"):
        choose.mixture(x, ones, chosen + 5, chosen == 0, weights)
    with pytest.raises(InputError, match=r"gate has shape \(4, 7, 11\)"):
        choose.mixture(x, ones, chosen, chosen == 0, {**weights, "gate": weights["gate"][:4]})
    mesh = jax.sharding.AbstractMesh((1, 2), ("data", "expert"))
    with pytest.raises(InputError, match="experts on several devices take no noise"):
        choose.moe(x, {}, MoEConfig(4), noise=np.ones((4, 4), np.float32), mesh=mesh)
