"""The numbers that describe a model, shared by both sides.

Parameters are a tree of arrays of one dtype, the same on both sides; every matrix is used as `x @ W`:

    {"embedding": (V, D),
     "layers": [{"attention_norm": (D,),
                 "attention": {"query": (D, N*H), "key": (D, K*H), "value": (D, K*H), "output": (N*H, D)},
                 "mlp_norm": (D,),
                 "mlp": {"gate": (D, F), "up": (D, F), "down": (F, D)}}, ...],
     "final_norm": (D,),
     "head": (D, V)}        # only where the output head is not tied to the embedding
"""

from dataclasses import dataclass

from minillm.errors import InputError


@dataclass(frozen=True)
class Config:
    """A decoder-only transformer of the Llama family (Touvron et al. 2023, arXiv 2302.13971, section 2.2).

    >>> Config(vocab_size=256, num_layers=2, model_dim=32, num_heads=4, num_kv_heads=2, head_dim=8, ffn_dim=64)
    Config(vocab_size=256, num_layers=2, model_dim=32, num_heads=4, num_kv_heads=2, head_dim=8, ffn_dim=64,
           context_length=2048, rope_theta=10000.0, rope_factors=None, rope_attention_factor=1.0, norm_eps=1e-05,
           tied_embeddings=True, sliding_window=None)
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
            raise InputError(f"Config: head_dim {self.head_dim} is odd; rotary embedding turns pairs.")
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

    @property
    def num_parameters(self) -> int:
        """How many weights the tree above holds."""
        attention = 2 * self.model_dim * self.head_dim * (self.num_heads + self.num_kv_heads)
        layer = attention + 3 * self.model_dim * self.ffn_dim + 2 * self.model_dim
        head = 0 if self.tied_embeddings else self.model_dim * self.vocab_size
        return self.vocab_size * self.model_dim + self.num_layers * layer + self.model_dim + head

    def check_room(self, prompt_length: int, max_new_tokens: int) -> None:
        """Refuse a generation that the context cannot hold.

        >>> Config(7, 1, 4, 2, 1, 2, 5, context_length=8).check_room(prompt_length=9, max_new_tokens=1)
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
    top_p: float | None = None  # only the likeliest tokens whose shares together reach p

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
