"""The registry: which reference function pairs with which accelerated one, and how closely.

Twins share the module name, the function name and the leading arguments. tests/test_twins.py holds every
pair to its tolerance with one comparer; a public function that is neither a twin nor excused below fails it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import minillm


def with_fixed_signs(decomposition: Any) -> Any:
    """A singular value decomposition in which the largest number of every u_i is positive: else its sign is free."""
    u, s, vt = map(np.asarray, decomposition)
    place = np.argmax(np.abs(u), axis=-2, keepdims=True)
    signs = np.where(np.take_along_axis(u, place, axis=-2) < 0, -1, 1).astype(u.dtype)
    return u * signs, s, np.swapaxes(signs, -1, -2) * vt


@dataclass(frozen=True)
class Twin:
    """A pair, and what agreement means: the largest difference over the largest value of the reference."""

    module: str
    name: str
    float32: float = 1e-6  # against the float64 reference, on the same float32 inputs
    float64: float = 1e-10
    exact: bool = False  # the outputs are booleans or integers, and equal
    batched: bool = True  # takes any leading batch axes, so that vmap must equal the batched call
    generic: bool = True  # the one comparer can call it; otherwise a test of its own does, in test_<module>.py
    gradient: tuple[str, ...] = ()  # the arguments that the reference's `<name>_vjp` differentiates by, in order
    canonical: Callable[[Any], Any] = lambda output: output  # of outputs that are not unique, the form that is compared

    @property
    def home(self) -> str:
        """The package of the concept."""
        [file] = Path(minillm.__file__).parent.glob(f"*/{self.module}.py")
        return f"minillm.{file.parent.name}.{self.module}"

    @property
    def reference(self) -> Callable[..., Any]:
        """The NumPy function."""
        return getattr(import_module(self.home), self.name)

    @property
    def reference_vjp(self) -> Callable[..., Any]:
        """The NumPy function that gives the gradient as well, derived by hand."""
        return getattr(import_module(f"{self.home}_vjp"), f"{self.name}_vjp")

    @property
    def accelerated(self) -> Callable[..., Any]:
        """The JAX function."""
        return getattr(import_module(f"{self.home}_jax"), self.name)

    def __str__(self) -> str:
        """module.name, as tests and messages call it."""
        return f"{self.module}.{self.name}"


TWINS = (
    Twin("linear", "linear", gradient=("x", "weight")),
    Twin("softmax", "softmax", gradient=("scores",)),
    Twin("softmax", "masked_softmax", gradient=("scores",)),
    Twin("softmax", "log_softmax", gradient=("scores",)),
    Twin("activations", "gelu", gradient=("x",)),
    Twin("activations", "gelu_tanh", gradient=("x",)),
    Twin("activations", "silu", gradient=("x",)),
    # Nearly equal numbers lose digits when centred.
    Twin("norm", "layer_norm", float32=2e-5, gradient=("x", "scale", "bias")),
    Twin("norm", "rms_norm", float32=2e-6, gradient=("x", "scale")),
    Twin("mlp", "mlp", float32=2e-6, gradient=("x", "up", "down", "up_bias", "down_bias")),
    Twin("mlp", "swiglu", float32=2e-6, gradient=("x", "gate", "up", "down")),
    Twin("rotary", "rotary_cos_sin"),
    Twin("rotary", "rotary_embedding", gradient=("x",)),
    Twin("attention", "causal_mask", exact=True, batched=False),
    Twin("attention", "scaled_dot_product_attention", float32=1e-5, gradient=("query", "key", "value")),
    Twin("attention", "multi_head_attention", float32=1e-5, gradient=("x", "weights")),
    Twin("flash", "flash_attention", float32=1e-5),
    Twin("flash", "check_blocks", generic=False),
    Twin("cache", "append"),
    Twin("transformer", "transformer", float32=1e-5, gradient=("params",)),
    Twin("losses", "cross_entropy", gradient=("logits",)),
    # A composition of the two above: the gradient's comparer holds its value as well.
    Twin("transformer", "transformer_with_auxiliary_loss", float32=1e-5),
    Twin("loss", "language_model_loss", float32=2e-6, generic=False, gradient=("params",)),
    Twin("huber", "huber_objective", batched=False, gradient=("five",)),
    Twin("gates", "softmax_gates", gradient=("router_logits",)),
    Twin("gates", "softmax_after_top_k_gates", gradient=("router_logits",)),
    Twin("gates", "router_gates", gradient=("router_logits",)),
    Twin("gates", "noisy_logits", gradient=("router_logits", "noise_logits")),
    Twin("routing", "choose_experts", exact=True),
    Twin("routing", "within_capacity", exact=True),
    Twin("routing", "expert_choice", exact=True),
    Twin("routing", "real_tokens", exact=True),
    Twin("routing", "route"),
    Twin("routing", "check_choices", generic=False),
    Twin("routing", "check_capacity", generic=False),
    Twin("balancing", "expert_loads", exact=True),
    Twin("balancing", "load_balancing_loss", gradient=("router_logits",)),
    Twin("balancing", "router_z_loss", gradient=("router_logits",)),
    Twin("balancing", "update_selection_bias"),
    Twin("balancing", "routing_statistics"),
    Twin("mixture", "feed_forward", float32=2e-6, gradient=("x", "weights")),
    Twin("mixture", "mixture", float32=4e-6, gradient=("x", "gates", "weights")),
    Twin("mixture", "check_experts", generic=False),
    Twin("moe", "moe", float32=4e-6, gradient=("x", "params")),
    Twin("moe", "auxiliary_loss", gradient=("x", "params")),
    Twin("moe", "moe_loads", exact=True),
    Twin("svd", "jacobi_svd", float32=1e-5, canonical=with_fixed_signs),
    Twin("svd", "with_missing_directions", generic=False),
    Twin("svd", "underflow", generic=False),
    Twin("svd", "check_finite", generic=False),
    Twin("svd", "check_rank", generic=False),
    # Its gradient has an upstream of three parts: tests/test_svd.py holds it.
    Twin("low_rank", "truncated_svd", float32=1e-5, canonical=with_fixed_signs),
    Twin("low_rank", "low_rank_approximation", float32=1e-5, gradient=("matrix",)),
    Twin("low_rank", "randomized_svd", float32=1e-5, batched=False, canonical=with_fixed_signs),
    Twin("low_rank", "krylov_svd", float32=1e-5, batched=False, canonical=with_fixed_signs),
    Twin("low_rank", "check_blocks", generic=False),
    Twin("low_rank", "explained_energy"),
    Twin("low_rank", "effective_rank", float32=4e-6),
    Twin("low_rank", "numerical_rank", exact=True),
    Twin("low_rank", "check_samples", generic=False),
    Twin("subspace", "subspace_point", batched=False, gradient=("z",)),
    Twin("lora", "lora_linear", float32=2e-6, gradient=("x", "lora_a", "lora_b")),
    Twin("lora", "lora_linear_by_row", float32=2e-6, batched=False),
    Twin("lora", "lora_delta", batched=False),
    # Trees: tests/test_lora.py holds these.
    Twin("lora", "merge_lora", generic=False),
    Twin("lora", "unmerge_lora", generic=False),
    Twin("lora", "check_chosen", generic=False),
    Twin("transformer", "layer_loads", generic=False),  # tests/test_moe_transformer.py holds it
    Twin("transformer", "prefill", float32=1e-5, batched=False),
    Twin("transformer", "decode", float32=1e-5, batched=False),
    Twin("sampling", "top_k_mask", exact=True),
    Twin("sampling", "top_p_mask", exact=True),
    Twin("sampling", "sample", exact=True),
    Twin("scoring", "token_log_probabilities", float32=1e-5),
    Twin("scoring", "sequence_log_probability", float32=1e-5, batched=False),
    Twin("scoring", "answer_scores"),
    Twin("generation", "generate", generic=False),
    Twin("cache", "init_cache", generic=False),
    Twin("cache", "cache_bytes", generic=False),
    Twin("cache", "check_capacity", generic=False),
    Twin("rotary", "rotary_frequencies", generic=False),
    Twin("transformer", "hidden_states", generic=False),  # held through transformer, prefill and decode
    Twin("transformer", "rotation_of", generic=False),  # likewise
    Twin("transformer", "unembed", generic=False),  # likewise
    Twin("transformer", "check_tokens", generic=False),
    # Trees, states and plain numbers: tests/test_optimizer.py and tests/test_schedules.py hold these.
    Twin("optimizer", "global_norm", generic=False),
    Twin("optimizer", "clip_by_global_norm", generic=False),
    Twin("optimizer", "sgd_init", generic=False),
    Twin("optimizer", "sgd_update", generic=False),
    Twin("optimizer", "adamw_init", generic=False),
    Twin("optimizer", "adamw_update", generic=False),
    Twin("optimizer", "decay_mask", generic=False),
    Twin("schedules", "constant", generic=False),
    Twin("schedules", "warmup_cosine", generic=False),
    Twin("schedules", "warmup_stable_decay", generic=False),
    Twin("schedules", "check_schedule", generic=False),
    # Numbers in the billions, beyond float16; and whole fits: tests/test_scaling_laws.py holds these.
    Twin("scaling_laws", "kaplan_loss", generic=False),
    Twin("scaling_laws", "chinchilla_loss", generic=False),
    Twin("scaling_laws", "optimal_split", generic=False),
    Twin("scaling_laws", "effective_tokens", generic=False),
    Twin("scaling_fit", "minimise", generic=False),
    Twin("scaling_fit", "fit_chinchilla", generic=False),
)

# Public functions without a twin, each with its reason.
ALONE = {
    "softmax.softmax_naive": "a form kept for teaching; test_softmax.py holds it to softmax",
    "attention.attention_naive": "a form kept for teaching; test_attention.py holds it to the vectorised one",
    "gates.softmax_gates_naive": "a form kept for teaching; test_moe.py holds it to softmax_gates",
    "moe.init_moe_params": "draws from a NumPy generator; both sides use the tree it makes",
    **dict.fromkeys(
        (
            "routing_jax.places_in_groups",
            "fast.row_layout.in_order",
            "fast.row_layout.chunked",
            "fast.row_layout.in_rooms",
            "fast.grouped.dropless",
        ),
        "how the twin lays out rows; held through mixture",
    ),
    "transformer_jax.transformer_with_routing": "its parts in one pass; held through each of them",
    "moe_jax.router": "a step of moe that the experts on many devices share; held through moe",
    **{
        f"fast.expert_parallel.{name}": "one device has no exchange; test_expert_parallel.py holds it to moe"
        for name in ("expert_parallel_moe", "expert_shardings")
    },
    "fast.choose.moe": "chooses a form; held through the transformer and test_expert_parallel.py",
    "transformer.init_params": "draws from a NumPy generator; both sides use the tree it makes",
    "attention_jax.attention_over_cache": "the fixed shapes of jit ask for it; held through prefill and decode",
    **{
        f"context_extension.{name}": "numbers that describe a model, not arrays; both twins read the Config"
        for name in ("position_interpolation", "ntk_aware", "yarn", "yarn_factors", "yarn_attention_factor")
    },
    **{
        f"scaling_laws.{name}": "a formula of one model's few numbers: nothing to compile"
        for name in ("gpt2_parameters", "kaplan_parameters", "training_flops", "kaplan_optimal_size")
    },
    **{
        f"scaling_laws.kaplan_loss_of_{name}": "one power of one number: nothing to compile"
        for name in ("size", "data", "compute")
    },
    "scaling_fit.fit_power_law": "a line through a handful of points: nothing to compile",
    "scaling_fit.isoflop_minimum": "a parabola, and an error where it has no minimum",
    "svd.power_svd": "a form kept for teaching; test_svd.py holds it to the others",
    "bidiagonal.golub_kahan_svd": "what LAPACK does: its turns follow one another, of no use to a GPU or TPU",
    "bidiagonal.bidiagonalise": "the first half of golub_kahan_svd",
    "svd.stack_svds": "loops over a batch, which the twin does at once",
    "svd_jax.inverse_or_zero": "a step of gradients",
    "svd_jax.svd_gradient": "the reference has it in truncated_svd_vjp; test_svd.py holds them together",
    "subspace.init_projection": "draws from a NumPy generator; both sides use the directions it makes",
    "subspace.intrinsic_dimension": "a place between a handful of points: nothing to compile",
    "lora.init_lora": "draws from a NumPy generator; both sides use the adapter it makes",
    "lora_jax.with_lora": "makes a tree that transformer takes; test_lora.py holds it to the merged model",
    "lora_jax.with_adapters": "makes a tree that transformer takes; test_lora.py holds it to one adapter a row",
    "linear.embedding": "the twin looks up in hidden_states, where an unknown id gives NaN",
    "linear_jax.transpose_weights": "a memory layout; test_linear.py holds it to changing no result",
    "fast.causal.causal_attention": "attention with a causal mask; test_causal_attention.py holds it",
    "fast.device.by_device": "chooses among others' kernels; held through flash_attention",
    "fast.device.device_kernels": "chooses among others' kernels; held through flash_attention",
    "generation_jax.bucket": "the lengths that are compiled; NumPy needs none",
}
