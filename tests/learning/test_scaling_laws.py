"""Laws of scaling laws, of their fits, and of the walks whose entropy is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.config import TINY, Config
from minillm.data.random_walk import entropy_rate, is_connected, random_graph, random_walks, visiting_shares
from minillm.errors import InputError
from minillm.learning import scaling_fit_jax as fast_fit
from minillm.learning import scaling_laws_jax as fast_laws
from minillm.learning.huber import huber_objective
from minillm.learning.kaplan_fit import KaplanLaw, fit_kaplan
from minillm.learning.scaling_fit import STARTS, fit_chinchilla, fit_power_law, isoflop_minimum, minimise, skill
from minillm.learning.scaling_laws import (
    BESIROGLU,
    HOFFMANN,
    HOFFMANN_UNROUNDED,
    PF_DAY,
    chinchilla_loss,
    effective_tokens,
    gpt2_parameters,
    kaplan_loss,
    kaplan_loss_of_compute,
    kaplan_loss_of_data,
    kaplan_loss_of_size,
    kaplan_optimal_size,
    kaplan_parameters,
    optimal_split,
    training_flops,
)
from minillm.learning.shared import HOFFMANN_STARTS
from minillm.training.sweep import evaluate_small, side_by_side, train_small
from minillm.transformer.transformer import init_params

budgets = st.floats(1e15, 1e26)
laws = st.sampled_from([HOFFMANN, HOFFMANN_UNROUNDED, BESIROGLU])

# Layers, width, and what the papers print. GPT-2: the released checkpoints; GPT-3: Brown et al. 2020, table 2.1.
GPT2 = [(12, 768, 124_439_808), (24, 1024, 354_823_168), (36, 1280, 774_030_080), (48, 1600, 1_557_611_200)]
GPT3 = [
    (12, 768, 125e6),
    (24, 1024, 350e6),
    (24, 1536, 760e6),
    (24, 2048, 1.3e9),
    (32, 2560, 2.7e9),
    (32, 4096, 6.7e9),
    (40, 5140, 13e9),
    (96, 12288, 175e9),
]


def synthetic(noise=0.0, seed=0):
    """Runs that obey Besiroglu's law, on a grid of sizes and budgets."""
    flops, sizes = np.repeat(np.logspace(18.8, 21.5, 9), 12), np.tile(np.logspace(7.8, 10.2, 12), 9)
    tokens = flops / (6 * sizes)
    kept = (tokens > 0.3 * sizes) & (tokens < 5e11)
    sizes, tokens = sizes[kept], tokens[kept]
    drawn = np.random.default_rng(seed).standard_normal(len(sizes))
    return sizes, tokens, chinchilla_loss(sizes, tokens) * np.exp(noise * drawn)


@pytest.mark.parametrize(("layers", "width", "printed"), GPT2)
def test_gpt2_has_as_many_weights_as_its_files(layers, width, printed):
    assert gpt2_parameters(layers, width) == printed


@pytest.mark.parametrize(("layers", "width", "printed"), GPT3)
def test_gpt3_has_as_many_weights_as_its_paper_prints(layers, width, printed):
    assert abs(gpt2_parameters(layers, width, context_length=2048) / printed - 1) < 0.02


def test_context_costs_weights_only_where_positions_are_learned():
    assert gpt2_parameters(3, 8, 50, 4 * 16) - gpt2_parameters(3, 8, 50, 16) == 3 * 16 * 8
    short = Config(**{**TINY.__dict__, "context_length": 16})
    assert short.num_parameters == TINY.num_parameters


@pytest.mark.parametrize("tied", [True, False])
def test_our_count_is_that_of_the_tree(tied):
    config = Config(31, 3, 12, 4, 2, 6, 11, tied_embeddings=tied)
    leaves = jax.tree.leaves(init_params(config, np.random.default_rng(0)))
    assert config.num_parameters == sum(leaf.size for leaf in leaves)


def test_the_head_is_no_small_matter_in_a_small_model():
    """At width 64 and 65 characters Kaplan's count leaves out a twentieth, even without positions."""
    assert gpt2_parameters(2, 64, 65, 0) - kaplan_parameters(2, 64) > 0.05 * kaplan_parameters(2, 64)
    assert kaplan_parameters(2, 64) == 2 * 12 * 64**2


def test_flops_by_hand():
    # Kaplan: forward 2 N + 2 L T d, thrice that with the backward pass; PaLM's 12 L T d is exactly twice the term.
    assert training_flops(100, 2, 5, 7, "kaplan") == 3 * (2 * 100 + 2 * 2 * 7 * 5)
    plain, kaplan, palm = (training_flops(100, 2, 5, 7, name) for name in ("none", "kaplan", "palm"))
    assert palm - plain == 2 * (kaplan - plain)
    with pytest.raises(InputError, match="choose one of none, kaplan, palm"):
        training_flops(100, attention="flash")


def test_attention_matters_where_the_context_is_as_long_as_the_model_is_wide():
    """At d = T = 128 it adds 8 % to 6 N as Kaplan counts, and 17 % as PaLM does."""
    size = kaplan_parameters(4, 128)
    kaplan, palm = (training_flops(size, 4, 128, 128, name) / training_flops(size) - 1 for name in ("kaplan", "palm"))
    assert (round(kaplan, 2), round(palm, 2)) == (0.08, 0.17)


def test_kaplan_by_hand():
    # (8.8e13 / 1e8)^0.076 = exp(0.076 * 13.688) = exp(1.0403) = 2.830, and so on down the sizes
    np.testing.assert_allclose(kaplan_loss_of_size(np.array([1e8, 1e9, 1e10])), [2.830, 2.376, 1.994], atol=5e-4)
    assert round(2**-0.076, 3) == round(kaplan_loss_of_size(2.0) / kaplan_loss_of_size(1.0), 3) == 0.949
    assert kaplan_loss_of_data(5.4e13) == 1
    assert kaplan_loss_of_compute(3.1e8 * 8.64e19) == pytest.approx(1)  # the constant is in PF-days
    assert kaplan_optimal_size(10 * PF_DAY) / kaplan_optimal_size(PF_DAY) == pytest.approx(10**0.73)


def test_kaplans_law_of_both_ends_in_each_alone():
    """Endless data leave (Nc / N)^aN; an endless model leaves (Dc / D)^aD."""
    assert kaplan_loss(1e9, 1e30) == pytest.approx((6.4e13 / 1e9) ** 0.076, rel=1e-6)
    assert kaplan_loss(1e30, 1e9) == pytest.approx((1.8e13 / 1e9) ** 0.103, rel=1e-6)


# Besiroglu et al. 2024 and Hoffmann's constants at Chinchilla's own budget: billions of parameters, tokens for each.
@pytest.mark.parametrize(
    ("law", "billions", "ratio"), [(HOFFMANN, 32, 93), (HOFFMANN_UNROUNDED, 40, 59), (BESIROGLU, 72, 18)]
)
def test_the_closed_form_at_chinchillas_budget(law, billions, ratio):
    size, tokens = optimal_split(5.76e23, law)
    assert round(size / 1e9) == billions
    assert tokens / size == pytest.approx(ratio, rel=0.03)


@given(budgets, laws)
def test_the_split_spends_the_budget_and_no_other_is_better(flops, law):
    size, tokens = optimal_split(flops, law)
    assert 6 * size * tokens == pytest.approx(flops, rel=1e-9)
    best = chinchilla_loss(size, tokens, law)
    for factor in (0.5, 0.9, 1.1, 2.0):
        assert chinchilla_loss(size * factor, tokens / factor, law) > best


def test_a_budget_of_nothing_is_refused():
    with pytest.raises(InputError, match="must be above 0"):
        optimal_split(0.0)


@given(st.floats(10, 1e12), st.floats(1, 100))
def test_repeated_tokens_are_worth_something_but_never_more_than_fresh_ones(unique, epochs):
    worth = effective_tokens(unique, epochs)
    assert unique * (1 - 1e-12) <= worth <= unique * epochs * (1 + 1e-12)
    assert worth < unique * (1 + 15.39)
    assert effective_tokens(unique, epochs + 1) > worth


def test_four_epochs_are_nearly_free():
    assert effective_tokens(1.0, 1.0) == 1  # one epoch repeats nothing
    assert 3.7 < effective_tokens(1.0, 4.0) < 4


def test_the_log_sum_exp_takes_its_largest_term_out():
    """exp(800) is beyond float64; its logarithm is not."""
    five = np.array([800.0, 0.0, 0.0, 0.5, 0.5])
    # the other terms vanish beside it: residual 800 - 799 = 1, Huber 0.1 (1 - 0.05) = 0.095
    assert huber_objective(five, np.ones(1), np.ones(1), np.array([799.0]), 0.1) == pytest.approx(0.095)


def test_the_fit_is_of_log_losses():
    """Losses in another unit of information move E, A and B alike, and nothing else: so it is with logarithms only."""
    sizes, tokens, losses = synthetic(noise=0.003)
    nats, bits = (fit_chinchilla(sizes, tokens, factor * losses)[0] for factor in (1, 1 / np.log(2)))
    np.testing.assert_allclose([bits.alpha, bits.beta], [nats.alpha, nats.beta], atol=5e-3)
    np.testing.assert_allclose(bits.E / nats.E, 1 / np.log(2), rtol=5e-3)


def test_the_sum_finds_the_constants_and_the_mean_does_not():
    truth = BESIROGLU.beta / (BESIROGLU.alpha + BESIROGLU.beta)
    off = {}
    for reduction in ("sum", "mean"):
        law, end = fit_chinchilla(*synthetic(noise=0.003), reduction)
        off[reduction] = abs(law.beta / (law.alpha + law.beta) - truth)
        assert np.isfinite(end.x).all()
    assert off["sum"] < 0.02
    assert off["mean"] > off["sum"] + 0.03


def test_our_starts_are_some_of_hoffmanns():
    # log E in 5 steps, log A and log B in 6, alpha and beta in 5: 5 * 6 * 6 * 5 * 5
    assert len(np.unique(HOFFMANN_STARTS, axis=0)) == 4500
    assert all((start == HOFFMANN_STARTS).all(1).any() for start in STARTS)


def test_sum_and_mean_share_their_minimum():
    five, rest = STARTS, [np.log(x) for x in synthetic()]
    total, mean = (huber_objective(five, *rest, reduction=name) for name in ("sum", "mean"))
    np.testing.assert_allclose(total, mean * len(rest[0]), rtol=1e-12)


def test_minimise_ends_in_rosenbrocks_valley():
    """(1 - x)^2 + 100 (y - x^2)^2, with its minimum at (1, 1), is where steepest descent alone does not arrive."""

    def valley(x):
        a, b = 1 - x[:, 0], x[:, 1] - x[:, 0] ** 2
        return a**2 + 100 * b**2, np.stack([-2 * a - 400 * b * x[:, 0], 200 * b], -1)

    end = minimise(valley, np.array([[-1.2, 1.0], [0.0, 0.0]]))
    np.testing.assert_allclose(end.x, 1, atol=1e-3)
    assert (end.iterations < 80).all()


def test_impossible_fits_are_refused():
    with pytest.raises(InputError, match="at least 5 runs"):
        fit_chinchilla(np.ones(4), np.ones(4), np.ones(4))
    with pytest.raises(InputError, match="above 0"):
        fit_chinchilla(np.ones(6), np.zeros(6), np.ones(6))
    with pytest.raises(InputError, match="choose sum or mean"):
        fit_chinchilla(*synthetic(), reduction="median")
    with pytest.raises(InputError, match="above the irreducible part"):
        fit_power_law(np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0]), irreducible=1.0)


@given(st.floats(0.05, 1.0), st.floats(0.3, 3.0), st.floats(0.5, 4.0))
def test_a_power_law_is_recovered_with_and_without_its_floor(exponent, floor, scale):
    x = np.logspace(3, 6, 7)
    losses = floor + scale * (x / 1e3) ** -exponent
    np.testing.assert_allclose(fit_power_law(x, losses, floor).exponent, exponent, rtol=1e-6)
    found = fit_power_law(x, losses, None)
    np.testing.assert_allclose(found(x), losses, rtol=1e-3)
    assert fit_power_law(x, losses).exponent < exponent  # a floor that is not seen makes the slope look flatter


def test_skill_by_hand():
    # the naive forecast errs by ln 4 + ln 2 = 3 ln 2, the prediction by ln 2 + 0: a third of it is left
    assert skill(np.array([2.0, 1]), np.array([4.0, 2]), np.array([1.0, 1])) == pytest.approx(2 / 3)
    each = skill(np.array([[2.0], [1.0], [4.0]]), np.full((3, 1), 2.0), np.ones((3, 1)))
    np.testing.assert_allclose(each, [0, 1, -1], atol=1e-12)  # as bad, perfect, twice as bad


def test_kaplans_law_is_fitted_and_agrees_with_its_formula():
    sizes, tokens = np.repeat(np.logspace(3, 6, 4), 4), np.tile(np.logspace(4, 7, 4), 4)
    published = KaplanLaw(np.log(6.4e13), np.log(1.8e13), 0.076, 0.103)
    np.testing.assert_allclose(published(sizes, tokens), kaplan_loss(sizes, tokens), rtol=1e-12)
    noise = np.exp(0.001 * np.random.default_rng(0).standard_normal(16))
    fitted = fit_kaplan(sizes, tokens, published(sizes, tokens) * noise)
    np.testing.assert_allclose(fitted[2:], published[2:], rtol=0.02)
    np.testing.assert_allclose(fitted(1e7, 1e8), published(1e7, 1e8), rtol=0.005)  # beyond what was fitted
    with pytest.raises(InputError, match="at least 4 runs"):
        fit_kaplan(np.ones(3), np.ones(3), np.ones(3))


def test_isoflop_by_hand():
    # a parabola in log N with its minimum at log N = 5: 2 + (log N - 5)^2, on sizes that miss the minimum
    logs = np.array([3.0, 4.1, 4.8, 5.7, 6.9])
    assert isoflop_minimum(np.exp(logs), 2 + (logs - 5) ** 2) == pytest.approx(np.exp(5))
    assert isoflop_minimum(np.exp(logs[::-1]), 2 + (logs[::-1] - 5) ** 2) == pytest.approx(np.exp(5))


@pytest.mark.parametrize("losses", [[1.0, 2, 3, 4], [4.0, 3, 2, 1], [1.0, 3, 3, 2]])
def test_a_minimum_at_the_edge_fails_loudly(losses):
    with pytest.raises(InputError, match="edge"):
        isoflop_minimum(np.array([10.0, 20, 40, 80]), np.array(losses))


@pytest.mark.parametrize("wide", [True, False])
def test_the_twins_of_the_laws(wide):
    sizes, tokens, _ = synthetic()
    with jax.enable_x64(wide):
        dtype, tolerance = (np.float64, 1e-12) if wide else (np.float32, 1e-5)
        N, D = sizes.astype(dtype), tokens.astype(dtype)
        for name, args in [
            ("kaplan_loss", (N, D)),
            ("chinchilla_loss", (N, D)),
            ("optimal_split", (N * 1e10,)),
            ("effective_tokens", (D, N / N.min())),
        ]:
            expected = globals()[name](*[x.astype(np.float64) for x in args])
            got = jax.jit(getattr(fast_laws, name))(*map(jnp.asarray, args))
            for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
                assert a.dtype == dtype
                np.testing.assert_allclose(a, b, rtol=tolerance)


def test_the_twins_of_the_fit():
    """The same law, from the same starts; roundings differ, and so may a start's last step."""
    runs = synthetic(noise=0.003)
    expected, _ = fit_chinchilla(*runs)
    with jax.enable_x64(True):
        got, end = fast_fit.fit_chinchilla(*map(jnp.asarray, runs))
        assert len(end.value) == len(STARTS)
        np.testing.assert_allclose([got.E, got.alpha, got.beta], [expected.E, expected.alpha, expected.beta], rtol=1e-2)


def test_the_entropy_of_a_walk_by_hand():
    # A path of three nodes: the middle one has two ways on, its ends one. The walk is in the middle half of the time,
    # so H = ln(2) / 2.
    path = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
    np.testing.assert_allclose(visiting_shares(path), [0.25, 0.5, 0.25])
    assert entropy_rate(path) == pytest.approx(np.log(2) / 2)


def test_long_walks_have_the_entropy_that_was_computed():
    rng = np.random.default_rng(0)
    graph = random_graph(24, 5, rng)
    walks = random_walks(graph, 400, 300, rng)
    counts = np.zeros(graph.shape)
    np.add.at(counts, (walks[:, :-1].ravel(), walks[:, 1:].ravel()), 1)
    assert not counts[~graph].any()  # no step without an edge
    np.testing.assert_allclose(counts.sum(1) / counts.sum(), visiting_shares(graph), atol=0.003)
    shares = counts / counts.sum(1, keepdims=True)
    observed = -np.sum(counts / counts.sum() * np.log(np.where(counts, shares, 1)))
    assert observed == pytest.approx(entropy_rate(graph), abs=0.005)
    np.testing.assert_allclose(np.bincount(walks[:, 0], minlength=24) / 400, visiting_shares(graph), atol=0.05)


def test_graphs_hang_together_and_impossible_ones_are_refused():
    rng = np.random.default_rng(0)
    graph = random_graph(30, 4, rng)
    assert is_connected(graph)
    assert not is_connected(np.kron(np.eye(2, dtype=bool), ~np.eye(3, dtype=bool)))
    assert 3 < graph.sum() / 30 < 6
    with pytest.raises(InputError, match="mean degree"):
        random_graph(5, 5, rng)
    with pytest.raises(InputError, match="No connected graph"):
        random_graph(50, 0.1, rng)
    with pytest.raises(InputError, match="without neighbours"):
        random_walks(np.zeros((3, 3), bool), 1, 2, rng)


def test_small_runs_go_on_where_they_stopped_and_do_not_mind_their_neighbours():
    rows, rates = np.random.default_rng(0).integers(0, 7, (6, 2, 5)).astype(np.int32), np.linspace(0.01, 0.03, 6)
    whole, losses = train_small(TINY, rows, rates, seed=3)
    half, first = train_small(TINY, rows[:3], rates[:3], seed=3)
    both, second = train_small(TINY, rows[3:], rates[3:], state=half)
    assert np.array_equal(np.concatenate([first, second]), losses)
    nats = evaluate_small(TINY, whole.params, rows[0])
    assert np.array_equal(nats, evaluate_small(TINY, both.params, rows[0]))
    assert nats.shape == (2, 4)
    together = side_by_side(lambda seed: train_small(TINY, rows, rates, seed=seed)[1], [1, 3], threads=2)
    assert np.array_equal(together[1], losses)
    assert not np.array_equal(together[0], losses)
    with pytest.raises(InputError, match="give one each"):
        train_small(TINY, rows, rates[:2])


def test_a_small_run_reads_its_first_loss_before_any_update():
    rows = np.random.default_rng(0).integers(0, 7, (1, 3, 6)).astype(np.int32)
    _, [loss] = train_small(TINY, rows, np.array([0.1]), seed=5)
    nats = evaluate_small(TINY, init_params(TINY, np.random.default_rng(5)), rows[0])
    assert loss == pytest.approx(nats.mean(), rel=1e-5)
