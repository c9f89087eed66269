"""Inputs for the twins: shapes from a short list of distinct primes, values bounded and without subnormals.

`problems[str(twin)]` is a strategy of argument tuples. Arrays are float64 (or integers, booleans); everything
else in a tuple is static. Each new shape is compiled anew, so the shapes are few.
"""

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

from minillm.attention.attention import AttentionWeights, causal_mask
from minillm.attention.cache import KVCache, LayerCache
from minillm.config import Config, MoEConfig, Sampling
from minillm.layers.losses import IGNORED
from minillm.strategies import arrays, normal, seeds
from minillm.transformer.transformer import init_params

vectors = st.sampled_from([(7,), (3, 5), (2, 3, 11)])


def with_mask(shape):
    return st.tuples(arrays(shape), hnp.arrays(bool, shape))


@st.composite
def norm_problems(draw, num_scales):
    """Vectors that are not constant: of those, centring leaves nothing but rounding errors, and scales them up."""
    shape = draw(vectors)
    return draw(arrays(shape)) / 8 + np.arange(shape[-1]), *[draw(arrays(shape[-1:])) for _ in range(num_scales)]


@st.composite
def linear_problems(draw):
    shape = draw(vectors)
    return draw(arrays(shape)), normal(draw(seeds), shape[-1], 13) / shape[-1]


@st.composite
def mlp_problems(draw, num_wide, biases=False):
    shape, seed = draw(vectors), draw(seeds)
    D, F = shape[-1], 13
    weights = [normal(seed + i, D, F) / D for i in range(num_wide)] + [normal(seed + 9, F, D) / F]
    return draw(arrays(shape)), *weights, *([normal(seed, F), normal(seed, D)] if biases else [])


@st.composite
def rotations(draw):
    positions = draw(hnp.arrays(np.int32, draw(st.sampled_from([(5,), (2, 3)])), elements=st.integers(0, 100_000)))
    factors = draw(st.sampled_from([None, (1.0, 2.0, 4.0)]))
    theta, attention_factor = draw(st.sampled_from([100.0, 10_000.0, 500_000.0])), draw(st.sampled_from([1.0, 1.1]))
    return positions, 6, theta, factors, np.float64, attention_factor


@st.composite
def rotary_problems(draw):
    T, N, H = 5, 3, 4
    angles = draw(arrays((T, H // 2)))
    return draw(arrays((2, T, N, H))), np.cos(angles), np.sin(angles)


head_counts = st.sampled_from([(3, 3), (6, 3), (6, 1)])  # multi-head, grouped-query, multi-query


@st.composite
def attention_problems(draw):
    B, T, S, H = 2, 5, 7, 4
    N, K = draw(head_counts)
    seed = draw(seeds)
    mask = draw(
        st.one_of(
            st.none(),
            st.builds(causal_mask, st.just(T), st.just(S), st.integers(0, 4), st.sampled_from([None, 1, 3])),
            hnp.arrays(bool, (T, S)),
            hnp.arrays(bool, (N, T, S)),
        )
    )
    query = draw(arrays((B, T, N, H)))
    return query, normal(seed, B, S, K, H), normal(seed + 1, B, S, K, H), mask


@st.composite
def flash_problems(draw):
    """Queries at the end of the keys, blocks that divide neither, and windows within a block and across several."""
    B, H, seed = 2, 4, draw(seeds)
    N, K = draw(head_counts)
    causal, window, block = draw(st.sampled_from([(True, None, 3), (True, 2, 3), (True, 5, 2), (False, None, 4)]))
    return draw(arrays((B, 5, N, H))), normal(seed, B, 7, K, H), normal(seed + 1, B, 7, K, H), causal, window, block


@st.composite
def layer_problems(draw):
    B, T, D, H = 2, 5, 7, 4
    N, K = draw(head_counts)
    seed = draw(seeds)
    weights = AttentionWeights(
        normal(seed, D, N * H) / D,
        normal(seed + 1, D, K * H) / D,
        normal(seed + 2, D, K * H) / D,
        normal(seed, N * H, D),
    )
    angles = np.arange(T)[:, None] * np.array([1.0, 0.1])
    return draw(arrays((B, T, D))), weights, H, causal_mask(T, T), (np.cos(angles), np.sin(angles))


def configurations():
    """Grouped-query and multi-query, tied and untied, with and without a window and stretched positions."""
    shape = {"vocab_size": 31, "num_layers": 2, "model_dim": 12, "head_dim": 6, "ffn_dim": 11, "context_length": 64}
    return st.sampled_from(
        [
            Config(**shape, num_heads=4, num_kv_heads=2),
            Config(**shape, num_heads=3, num_kv_heads=1, tied_embeddings=False, sliding_window=3),
            Config(
                **shape,
                num_heads=2,
                num_kv_heads=2,
                rope_theta=100.0,
                rope_factors=(1.0, 2.0, 4.0),
                rope_attention_factor=1.1,
            ),
        ]
    )


@st.composite
def models(draw):
    """A configuration and parameters of ordinary size.

    Freshly initialised ones would attend to all positions nearly alike, and hide a wrong position or cache slot.
    """
    config, rng = draw(configurations()), np.random.default_rng(draw(seeds))
    params = init_params(config, rng, np.float64)
    params["embedding"] = rng.standard_normal(params["embedding"].shape)
    for layer in params["layers"]:
        for part in (layer["attention"], layer["mlp"]):
            part.update({name: rng.standard_normal(w.shape) / np.sqrt(len(w)) for name, w in part.items()})
    return config, params


def token_arrays(config, *shape):
    return hnp.arrays(np.int32, shape, elements=st.integers(0, config.vocab_size - 1))


@st.composite
def transformer_problems(draw):
    config, params = draw(models())
    return params, draw(token_arrays(config, 2, 7)), config


def label_arrays(num_classes, *shape):
    """A fifth of them count for nothing."""
    known = st.integers(0, num_classes - 1)
    return hnp.arrays(np.int32, shape, elements=st.one_of(known, known, known, known, st.just(IGNORED)))


@st.composite
def loss_problems(draw):
    params, tokens, config = draw(transformer_problems())
    return params, tokens, draw(label_arrays(config.vocab_size, *tokens.shape)), config


@st.composite
def filled_caches(draw, config, length, capacity=13, batch=2):
    """Positions up to `length` hold numbers; those beyond hold others, which nothing may see."""
    seed, shape = draw(seeds), (batch, config.num_kv_heads, capacity, config.head_dim)
    layers = [LayerCache(normal(seed + i, *shape), normal(seed + 50 + i, *shape)) for i in range(config.num_layers)]
    return KVCache(layers, length)


@st.composite
def prefill_problems(draw):
    config, params = draw(models())
    cache = draw(filled_caches(config, draw(st.sampled_from([0, 4]))))
    return params, draw(token_arrays(config, 2, 5)), cache, config, draw(st.sampled_from([None, 3]))


@st.composite
def decode_problems(draw):
    config, params = draw(models())
    return params, draw(token_arrays(config, 2)), draw(filled_caches(config, draw(st.sampled_from([1, 9])))), config


@st.composite
def append_problems(draw):
    layer = LayerCache(draw(arrays((2, 3, 7, 5))), draw(arrays((2, 3, 7, 5))))
    return layer, draw(arrays((2, 2, 3, 5))), draw(arrays((2, 2, 3, 5))), draw(st.sampled_from([0, 4]))


def separated_logits(*shape):
    """A permutation of numbers a quarter apart: no two shares are so close that rounding could reorder them."""
    size = shape[-1]
    return seeds.map(
        lambda seed: np.random.default_rng(seed).permuted(np.tile(np.arange(size) / 4.0, (*shape[:-1], 1)), axis=-1)
    )


samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    top_k=st.sampled_from([None, 1, 3, 100]),
    top_p=st.sampled_from([None, 0.33, 0.77, 1.0]),
)
draws = st.floats(0, 1, exclude_max=True, allow_subnormal=False, width=32)


@st.composite
def score_problems(draw):
    config, params = draw(models())
    start = draw(hnp.arrays(np.int32, 2, elements=st.integers(1, 3)))
    return params, draw(token_arrays(config, 2, 7)), config, start, start + np.int32(draw(st.integers(0, 4)))


@st.composite
def fit_problems(draw):
    """Runs near Chinchilla's law and constants near its own, so that residuals lie on both sides of delta."""
    starts, seed = draw(st.sampled_from([(), (3,)])), draw(seeds)
    log_size, log_tokens = 18 + 2 * normal(seed, 7), 22 + 2 * normal(seed + 1, 7)
    five = np.array([0.6, 6.0, 7.6, 0.35, 0.37]) + 0.1 * normal(seed + 2, *starts, 5)
    log_loss = 0.9 + 0.1 * normal(seed + 3, 7)
    delta, reduction = draw(st.sampled_from([1e-3, 0.1])), draw(st.sampled_from(["sum", "mean"]))
    return five, log_size, log_tokens, log_loss, delta, reduction


token_masks = hnp.arrays(bool, 7)
router_logits = seeds.map(lambda seed: normal(seed, 7, 5))  # no two shares alike up to rounding


def chosen_experts(k, num_experts=5, num_tokens=7):
    """k different experts for every token."""
    rows = seeds.map(lambda seed: np.random.default_rng(seed).random((num_tokens, num_experts)).argsort(-1)[:, :k])
    return rows.map(lambda experts: experts.astype(np.int32))


def expert_weights(seed, gated, num_experts=5, model_dim=7, ffn_dim=11):
    names = ("gate", "up") if gated else ("up",)
    weights = {name: normal(seed + i, num_experts, model_dim, ffn_dim) / model_dim for i, name in enumerate(names)}
    return {**weights, "down": normal(seed + 9, num_experts, ffn_dim, model_dim) / ffn_dim}


@st.composite
def gate_problems(draw, *rest):
    return draw(arrays((7, 5))), draw(chosen_experts(draw(st.sampled_from([1, 2, 5])))), *[draw(r) for r in rest]


@st.composite
def mixture_problems(draw):
    k, seed, gated = draw(st.sampled_from([1, 2, 5])), draw(seeds), draw(st.booleans())
    kept = draw(hnp.arrays(bool, (7, k)))
    return draw(arrays((7, 7))), normal(seed, 7, k), draw(chosen_experts(k)), kept, expert_weights(seed, gated)


@st.composite
def feed_forward_problems(draw):
    x, seed, gated = draw(vectors.flatmap(arrays)), draw(seeds), draw(st.booleans())
    return x, {name: weight[0] for name, weight in expert_weights(seed, gated, 1, x.shape[-1]).items()}


moe_configs = st.sampled_from(
    [
        MoEConfig(5, k=2),
        MoEConfig(5, k=1, balance_weight=1.0, z_weight=0.1),
        MoEConfig(5, k=5, renormalise=False),
        MoEConfig(5, k=2, softmax="after", capacity_factor=0.7),
        MoEConfig(5, k=2, choice="expert", capacity_factor=1.0),
    ]
)


@st.composite
def route_problems(draw):
    bias = draw(st.sampled_from([None, np.array([0.0, 0.3, -0.2, 0.1, 0.4])]))
    return draw(router_logits), draw(moe_configs), draw(st.one_of(st.none(), token_masks)), bias


@st.composite
def moe_problems(draw):
    """Ordinary numbers only: a tie of two experts up to rounding would be broken either way."""
    config, seed, gated = draw(moe_configs), draw(seeds), draw(st.booleans())
    params = {"router": normal(seed + 20, 7, 5), "experts": expert_weights(seed, gated)}
    noise = None
    if draw(st.booleans()):
        params["shared"] = {name: weight[0] for name, weight in expert_weights(seed + 30, gated, 1).items()}
        params["selection_bias"] = 0.3 * normal(seed + 40, 5)
    if draw(st.booleans()):
        params["noise"], noise = normal(seed + 50, 7, 5), normal(seed + 51, 6, 5)
    mask = draw(st.one_of(st.none(), hnp.arrays(bool, (2, 3))))
    return normal(seed + 60, 2, 3, 7), params, config, mask, noise


@st.composite
def matrices(draw, *shapes):
    """With singular values apart, 1, 1/2, 1/4, ..., so that their directions are determined."""
    *batch, rows, columns = draw(st.sampled_from(shapes))
    R = min(rows, columns)
    left, _ = np.linalg.qr(normal(draw(seeds), *batch, rows, R))
    right, _ = np.linalg.qr(normal(draw(seeds), *batch, columns, R))
    return (left * 2.0 ** -np.arange(R)) @ np.swapaxes(right, -1, -2)


@st.composite
def randomized_problems(draw):
    matrix = draw(matrices((13, 7), (7, 11)))
    return matrix, 2, normal(draw(seeds), matrix.shape[-1], 5), draw(st.sampled_from([2, 3]))


@st.composite
def krylov_problems(draw):
    matrix = draw(matrices((13, 11), (11, 13)))
    return matrix, 2, normal(draw(seeds), matrix.shape[-1], 3), draw(st.sampled_from([1, 2]))


singular_values = st.sampled_from([(5,), (2, 3)]).flatmap(
    lambda shape: hnp.arrays(np.float64, shape, elements=st.sampled_from([0.0, 1e-3, 0.125, 1.0, 7.0]))
)


@st.composite
def lora_problems(draw):
    shape = draw(vectors)
    x, seed = draw(arrays(shape)), draw(seeds)
    factors = normal(seed, shape[-1], 13) / shape[-1], normal(seed + 1, shape[-1], 2), normal(seed + 2, 2, 13)
    keep, dropout = draw(st.sampled_from([(None, 0.0), (normal(seed + 3, *shape) > 0, 0.5)]))
    return x, *factors, draw(st.sampled_from([0.5, 2.0])), keep, dropout


@st.composite
def lora_by_row_problems(draw):
    seed = draw(seeds)
    chosen = draw(hnp.arrays(np.int32, 5, elements=st.integers(-1, 1)))
    stacks = normal(seed, 2, 7, 3), normal(seed + 1, 2, 3, 11), draw(arrays(2))
    return draw(arrays((5, 3, 7))), normal(seed + 2, 7, 11), *stacks, chosen


problems = {
    "linear.linear": linear_problems(),
    "softmax.softmax": vectors.flatmap(arrays).map(lambda x: (x,)),
    "softmax.masked_softmax": vectors.flatmap(with_mask),
    "softmax.log_softmax": vectors.flatmap(arrays).map(lambda x: (x,)),
    "activations.gelu": vectors.flatmap(arrays).map(lambda x: (x,)),
    "activations.gelu_tanh": vectors.flatmap(arrays).map(lambda x: (x,)),
    "activations.silu": vectors.flatmap(arrays).map(lambda x: (x,)),
    "norm.layer_norm": norm_problems(2),
    "norm.rms_norm": norm_problems(1),
    "mlp.mlp": mlp_problems(1, biases=True),
    "mlp.swiglu": mlp_problems(2),
    "rotary.rotary_cos_sin": rotations(),
    "rotary.rotary_embedding": rotary_problems(),
    "attention.causal_mask": st.tuples(st.just(3), st.just(7), st.sampled_from([0, 4]), st.sampled_from([None, 2])),
    "attention.scaled_dot_product_attention": attention_problems(),
    "attention.multi_head_attention": layer_problems(),
    "flash.flash_attention": flash_problems(),
    "cache.append": append_problems(),
    "transformer.transformer": transformer_problems(),
    "transformer.transformer_with_auxiliary_loss": transformer_problems(),
    "losses.cross_entropy": st.tuples(arrays((2, 5, 7)), label_arrays(7, 2, 5)),
    "loss.language_model_loss": loss_problems(),
    "huber.huber_objective": fit_problems(),
    "gates.softmax_gates": gate_problems(st.booleans()),
    "gates.softmax_after_top_k_gates": gate_problems(),
    "gates.router_gates": gate_problems(moe_configs),
    "gates.noisy_logits": st.tuples(arrays((7, 5)), arrays((7, 5)), arrays((7, 5))),
    "routing.choose_experts": st.tuples(
        separated_logits(7, 5),
        st.sampled_from([1, 2, 5]),
        st.one_of(st.none(), seeds.map(lambda seed: normal(seed, 5))),
    ),
    "routing.within_capacity": st.tuples(
        chosen_experts(2), st.just(5), st.sampled_from([1, 2, 7]), st.one_of(st.none(), token_masks)
    ),
    "routing.expert_choice": st.tuples(router_logits, st.sampled_from([1, 3, 7]), token_masks),
    "routing.real_tokens": st.tuples(arrays((7, 5)), st.one_of(st.none(), token_masks)),
    "routing.route": route_problems(),
    "balancing.expert_loads": st.tuples(chosen_experts(2), st.just(5), st.one_of(st.none(), token_masks)),
    "balancing.load_balancing_loss": gate_problems(st.one_of(st.none(), token_masks)),
    "balancing.router_z_loss": st.tuples(arrays((7, 5)), st.one_of(st.none(), token_masks)),
    "balancing.update_selection_bias": st.tuples(
        arrays(5), hnp.arrays(np.int32, 5, elements=st.integers(0, 9)), st.sampled_from([0.001, 0.5])
    ),
    "balancing.routing_statistics": st.tuples(
        arrays((7, 5)), chosen_experts(2), hnp.arrays(bool, (7, 2)), st.one_of(st.none(), token_masks)
    ),
    "mixture.feed_forward": feed_forward_problems(),
    "mixture.mixture": mixture_problems(),
    "moe.moe": moe_problems(),
    "moe.auxiliary_loss": moe_problems(),
    "moe.moe_loads": moe_problems(),
    "svd.jacobi_svd": st.tuples(matrices((7, 5), (3, 5), (2, 3, 3), (1, 3), (5, 1))),
    "low_rank.truncated_svd": st.tuples(matrices((7, 5), (3, 5), (2, 3, 3)), st.sampled_from([1, 3])),
    "low_rank.low_rank_approximation": st.tuples(matrices((7, 5), (3, 5), (2, 3, 3)), st.sampled_from([1, 3])),
    "low_rank.randomized_svd": randomized_problems(),
    "low_rank.krylov_svd": krylov_problems(),
    "low_rank.explained_energy": st.tuples(singular_values),
    "low_rank.effective_rank": st.tuples(singular_values),
    "low_rank.numerical_rank": st.tuples(singular_values, st.just(5), st.just(7)),
    "subspace.subspace_point": st.tuples(arrays((7,)), arrays((7, 3)), arrays((3,))),
    "lora.lora_linear": lora_problems(),
    "lora.lora_linear_by_row": lora_by_row_problems(),
    "lora.lora_delta": st.tuples(arrays((7, 3)), arrays((3, 5)), st.sampled_from([0.5, 2.0])),
    "transformer.prefill": prefill_problems(),
    "transformer.decode": decode_problems(),
    "sampling.top_k_mask": st.tuples(separated_logits(3, 11), st.sampled_from([1, 4, 50])),
    "sampling.top_p_mask": st.tuples(separated_logits(3, 11), st.sampled_from([0.123, 0.5, 1.0])),
    "sampling.sample": st.tuples(separated_logits(3, 11), hnp.arrays(np.float64, 3, elements=draws), samplings),
    "scoring.token_log_probabilities": st.tuples(
        arrays((2, 5, 7)), hnp.arrays(np.int32, (2, 5), elements=st.integers(0, 6))
    ),
    "scoring.sequence_log_probability": score_problems(),
    "scoring.answer_scores": st.tuples(arrays(3), hnp.arrays(np.int32, 3, elements=st.integers(1, 9)), arrays(3)),
}
