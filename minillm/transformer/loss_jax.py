"""The loss that training follows, in JAX."""

from typing import Any

from jaxtyping import Float, Int

from minillm.axes import Tokens, checked
from minillm.config import Config
from minillm.layers.losses_jax import cross_entropy
from minillm.transformer.transformer_jax import Params, transformer_with_auxiliary_loss

Labels = Int[Any, "*batch T"]
Loss = Float[Any, ""]


@checked
def language_model_loss(params: Params, tokens: Tokens, labels: Labels, config: Config) -> Loss:
    """As the reference."""
    logits, auxiliary = transformer_with_auxiliary_loss(params, tokens, config)
    return cross_entropy(logits, labels) + auxiliary
