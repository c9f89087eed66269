"""The loss that training follows, in JAX."""

from minillm.axes import Tokens, checked
from minillm.config import Config
from minillm.layers.losses_jax import cross_entropy
from minillm.transformer.shared import Labels, Loss, Params
from minillm.transformer.transformer_jax import transformer_with_auxiliary_loss


@checked
def language_model_loss(params: Params, tokens: Tokens, labels: Labels, config: Config) -> Loss:
    """As the reference."""
    logits, auxiliary = transformer_with_auxiliary_loss(params, tokens, config)
    return cross_entropy(logits, labels) + auxiliary
