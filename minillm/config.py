"""The numbers that describe a model, shared by both sides.

Parameters are a tree of arrays of one dtype, the same on both sides; every matrix is used as `x @ W`:

    {"embedding": (V, D),
     "layers": [{"attention_norm": (D,),
                 "attention": {"query": (D, N*H), "key": (D, K*H), "value": (D, K*H), "output": (N*H, D)},
                 "mlp_norm": (D,),
                 "mlp": {"gate": (D, F), "up": (D, F), "down": (F, D)}}, ...],
     "final_norm": (D,),
     "head": (D, V)}        # only where the output head is not tied to the embedding

With `moe`, every layer has a "moe" (`minillm.experts.moe`) in place of its "mlp":

    {"router": (D, E),
     "experts": {"gate": (E, D, F), "up": (E, D, F), "down": (E, F, D)},    # without "gate": a plain MLP with gelu
     "shared": {"gate": (D, F), "up": (D, F), "down": (F, D)},              # optional: one that every token passes
     "noise": (D, E),                                                       # optional: for noisy routing
     "selection_bias": (E,)}                                                # with `bias_rate`: balances without a loss
"""

import math
from dataclasses import dataclass

from minillm.errors import InputError


@dataclass(frozen=True)
class MoEConfig:
    """How a layer of experts sends tokens to them.

    >>> MoEConfig(num_experts=4, k=5)
    Traceback (most recent call last):
    minillm.errors.InputError: MoEConfig: k is 5 of 4 experts; it must be from 1 to 4.
    """

    num_experts: int  # E
    k: int = 2  # experts of a token; where experts choose, the mean over tokens at capacity factor 1
    choice: str = "token"  # "token": each token takes its k best experts; "expert": each expert its best tokens
    softmax: str = "before"  # "before" top-k, over all experts; "after" it, over the k chosen
    renormalise: bool = True  # divide the k gates by their sum (softmax before, k > 1)
    capacity_factor: float | None = None  # an expert takes at most this many times its even load; None: all
    balance_weight: float = 0.01  # of the load-balancing loss (Switch's alpha)
    z_weight: float = 0.001  # of the router z-loss (ST-MoE's c_z)
    bias_rate: float = 0.0  # of each selection bias in a step of training (gamma in [DeepSeek2024]); 0: there is none

    def __post_init__(self) -> None:
        """Refuse a routing that cannot be."""
        if self.num_experts < 1:
            raise InputError(f"MoEConfig: num_experts is {self.num_experts}; it must be at least 1.")
        if not 1 <= self.k <= self.num_experts:
            raise InputError(
                f"MoEConfig: k is {self.k} of {self.num_experts} experts; it must be from 1 to {self.num_experts}."
            )
        for name, allowed in (("choice", ("token", "expert")), ("softmax", ("before", "after"))):
            if getattr(self, name) not in allowed:
                raise InputError(f"MoEConfig: {name} is {getattr(self, name)!r}; it must be {' or '.join(allowed)}.")
        if self.choice == "expert" and (self.softmax == "after" or self.capacity_factor is None):
            raise InputError("MoEConfig: where experts choose, give a capacity_factor, and softmax before.")
        if self.capacity_factor is not None and not 0 < self.capacity_factor < float("inf"):
            raise InputError(f"MoEConfig: capacity_factor is {self.capacity_factor}; it must be positive and finite.")
        if self.choice == "expert" and self.bias_rate:
            raise InputError("MoEConfig: where experts choose, all have equal loads; leave bias_rate out.")
        for name in ("balance_weight", "z_weight", "bias_rate"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"MoEConfig: {name} is {getattr(self, name)}; it must be 0 or more.")

    def capacity(self, num_tokens: int) -> int | None:
        """How many of the tokens an expert takes: its even load times the factor, rounded up, at most all of them.

        ([Fedus2021], eq. 3, where k = 1.) None where there is no bound. Padding counts as tokens here, since a shape
        must not depend on it.

        >>> MoEConfig(num_experts=4, k=2, capacity_factor=1.25).capacity(6)
        4
        """
        if self.capacity_factor is None:
            return None
        load = self.k * num_tokens * self.capacity_factor / self.num_experts
        return min(math.ceil(load - 1e-9), num_tokens)  # 1e-9: 1.1 x 10 is a little more than 11


@dataclass(frozen=True)
class LoRAConfig:
    """Which matrices of a model get a low-rank change, and of what size.

    A target is the path of a matrix in the parameter tree, with * for any part of it: "layers.*.attention.query",
    "layers.0.*", or "*" for all linear layers.

    >>> LoRAConfig(rank=4, alpha=8.0).scale, LoRAConfig(rank=4, alpha=8.0, rank_stabilised=True).scale
    (2.0, 4.0)
    """

    rank: int = 8  # R
    alpha: float = 16.0
    targets: tuple[str, ...] = ("*",)
    rank_stabilised: bool = False  # scale by alpha / sqrt(rank), not alpha / rank [Kalajdzievski2023]
    dropout: float = 0.0  # of the change's input, while training

    def __post_init__(self) -> None:
        """Refuse numbers that no adapter can have."""
        if self.rank < 1:
            raise InputError(f"LoRAConfig: rank is {self.rank}; it must be at least 1.")
        if not 0 < self.alpha < float("inf"):
            raise InputError(f"LoRAConfig: alpha is {self.alpha}; it must be positive and finite.")
        if not 0 <= self.dropout < 1:
            raise InputError(f"LoRAConfig: dropout is {self.dropout}; it must be at least 0 and below 1.")
        if isinstance(self.targets, str) or not self.targets:
            raise InputError("LoRAConfig: targets must be path patterns, such as ('layers.*.mlp.*',).")

    @property
    def scale(self) -> float:
        """What the change is multiplied by."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilised else self.rank)


@dataclass(frozen=True)
class Config:
    """A decoder-only transformer of the Llama family ([Touvron2023], section 2.2).

    >>> Config(vocab_size=256, num_layers=2, model_dim=32, num_heads=4, num_kv_heads=2, head_dim=8, ffn_dim=64)
    Config(vocab_size=256, num_layers=2, model_dim=32, num_heads=4, num_kv_heads=2, head_dim=8, ffn_dim=64,
           context_length=2048, rope_theta=10000.0, rope_factors=None, rope_attention_factor=1.0, norm_eps=1e-05,
           tied_embeddings=True, sliding_window=None, moe=None)
    """

    vocab_size: int  # V
    num_layers: int  # L
    model_dim: int  # D
    num_heads: int  # N
    num_kv_heads: int  # K; N is a multiple of K
    head_dim: int  # H
    ffn_dim: int  # F
    context_length: int = 2048  # the longest sequence that the model was made for
    rope_theta: float = 10000.0  # base of the rotary wavelengths
    rope_factors: tuple[float, ...] | None = None  # H/2 divisors of the rotary frequencies (scaled context)
    rope_attention_factor: float = 1.0  # of cosines and sines, so attention's logits by its square (YaRN)
    norm_eps: float = 1e-5
    tied_embeddings: bool = True  # the output head is the embedding, transposed
    sliding_window: int | None = None  # a query sees this many positions, itself included
    moe: MoEConfig | None = None  # every feed-forward layer is so many experts, each of width F

    def __post_init__(self) -> None:
        """Refuse a description that no model can have."""
        for name in ("vocab_size", "num_layers", "model_dim", "num_heads", "num_kv_heads", "head_dim", "ffn_dim"):
            if getattr(self, name) < 1:
                raise InputError(f"Config: {name} is {getattr(self, name)}; it must be at least 1.")
        if self.num_heads % self.num_kv_heads:
            raise InputError(
                f"Config: num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}; "
                "each key/value head must serve the same number of query heads."
            )
        if self.head_dim % 2:
            raise InputError(f"Config: head_dim {self.head_dim} is odd; rotary embedding rotates pairs.")
        if self.rope_factors is not None and len(self.rope_factors) != self.head_dim // 2:
            raise InputError(
                f"Config: {len(self.rope_factors)} rope_factors for head_dim {self.head_dim}; give head_dim / 2."
            )
        if not 0 < self.rope_attention_factor < float("inf"):
            raise InputError(
                f"Config: rope_attention_factor is {self.rope_attention_factor}; it must be positive and finite."
            )
        if self.sliding_window is not None and self.sliding_window < 1:
            raise InputError(f"Config: sliding_window is {self.sliding_window}; it must be at least 1, or None.")
        if self.moe is not None and self.moe.choice == "expert":
            raise InputError("Config: where experts choose, they look at later tokens too; let tokens choose.")

    @property
    def num_parameters(self) -> int:
        """How many weights the tree above holds (with experts, without what is optional there)."""
        return self._parameters_with(self.moe.num_experts if self.moe else 1)

    @property
    def num_active_parameters(self) -> int:
        """How many of them one token meets: of the experts, k.

        >>> config = Config(7, 1, 4, 2, 1, 2, 5, moe=MoEConfig(num_experts=8, k=2))
        >>> config.num_parameters - config.num_active_parameters  # 6 experts of 3 matrices, 4 x 5
        360
        """
        return self._parameters_with(self.moe.k if self.moe else 1)

    def _parameters_with(self, num_experts: int) -> int:
        attention = 2 * self.model_dim * self.head_dim * (self.num_heads + self.num_kv_heads)
        router = self.model_dim * self.moe.num_experts if self.moe else 0
        layer = attention + num_experts * 3 * self.model_dim * self.ffn_dim + router + 2 * self.model_dim
        head = 0 if self.tied_embeddings else self.model_dim * self.vocab_size
        return self.vocab_size * self.model_dim + self.num_layers * layer + self.model_dim + head

    def check_context(self, prompt_length: int, max_new_tokens: int) -> None:
        """Refuse a generation that the context cannot hold.

        >>> Config(7, 1, 4, 2, 1, 2, 5, context_length=8).check_context(prompt_length=9, max_new_tokens=1)
        Traceback (most recent call last):
        minillm.errors.InputError: The prompt has 9 tokens and the context 8; shorten the prompt.
        """
        if prompt_length < 1:
            raise InputError("The prompt is empty; give at least one token.")
        if max_new_tokens < 1:
            raise InputError(f"{max_new_tokens} new tokens were asked for; ask for at least 1.")
        if prompt_length > self.context_length:
            raise InputError(
                f"The prompt has {prompt_length} tokens and the context {self.context_length}; shorten the prompt."
            )
        if prompt_length + max_new_tokens > self.context_length:
            raise InputError(
                f"{prompt_length} prompt tokens and {max_new_tokens} new ones exceed the context of "
                f"{self.context_length}; ask for at most {self.context_length - prompt_length} new tokens."
            )


@dataclass(frozen=True)
class Sampling:
    """How to choose the next token from its logits. Temperature 0 is greedy: the likeliest, always.

    >>> Sampling(top_p=1.5)
    Traceback (most recent call last):
    minillm.errors.InputError: Sampling: top_p is 1.5; it must be above 0 and at most 1.
    """

    temperature: float = 1.0  # the logits are divided by it
    top_k: int | None = None  # only the k likeliest tokens
    top_p: float | None = None  # only the likeliest tokens whose probabilities together reach p

    def __post_init__(self) -> None:
        """Refuse settings that have no meaning."""
        if not 0 <= self.temperature < float("inf"):
            raise InputError(f"Sampling: temperature is {self.temperature}; it must be 0 (greedy) or more.")
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"Sampling: top_k is {self.top_k}; it must be at least 1.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise InputError(f"Sampling: top_p is {self.top_p}; it must be above 0 and at most 1.")


GREEDY = Sampling(temperature=0.0)

# The smallest model with two query heads on one key/value head, for examples.
TINY = Config(vocab_size=7, num_layers=1, model_dim=4, num_heads=2, num_kv_heads=1, head_dim=2, ffn_dim=5)
