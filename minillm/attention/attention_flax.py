"""Attention as a Flax module; with the same weights it equals `nnx.MultiHeadAttention` without biases."""

from flax import nnx

from minillm.attention.attention_jax import AttentionWeights, multi_head_attention
from minillm.axes import Hidden, Mask, Rotation
from minillm.layers.modules_flax import random_matrix


class MultiHeadAttention(nnx.Module):
    """Holds the four matrices of `multi_head_attention`; with fewer key/value heads it is grouped-query.

    >>> import jax.numpy as jnp
    >>> attention = MultiHeadAttention(model_dim=6, num_heads=4, head_dim=2, num_kv_heads=2, rngs=nnx.Rngs(0))
    >>> attention(jnp.ones((1, 3, 6))).shape
    (1, 3, 6)
    """

    def __init__(
        self, model_dim: int, num_heads: int, head_dim: int, num_kv_heads: int | None = None, *, rngs: nnx.Rngs
    ):
        """Draw the matrices; without `num_kv_heads` each query head has its own key/value head."""
        self.head_dim = head_dim
        inner, shared = num_heads * head_dim, (num_kv_heads or num_heads) * head_dim
        self.query = random_matrix(rngs, model_dim, inner)
        self.key, self.value = (random_matrix(rngs, model_dim, shared) for _ in range(2))
        self.output = random_matrix(rngs, inner, model_dim)

    def __call__(
        self, x: Hidden, mask: Mask | None = None, rotation: tuple[Rotation, Rotation] | None = None
    ) -> Hidden:
        """As `multi_head_attention` without a cache."""
        weights = AttentionWeights(self.query[...], self.key[...], self.value[...], self.output[...])
        return multi_head_attention(x, weights, self.head_dim, mask, rotation)[0]
