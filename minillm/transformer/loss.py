"""The loss that training follows: a transformer's cross-entropy, and its experts' auxiliary losses."""

import numpy as np  # noqa: F401  for the examples

from minillm.axes import Tokens, checked
from minillm.config import Config
from minillm.layers.losses import cross_entropy
from minillm.transformer.shared import Labels, Loss, Params
from minillm.transformer.transformer import transformer_with_auxiliary_loss


@checked
def language_model_loss(params: Params, tokens: Tokens, labels: Labels, config: Config) -> Loss:
    """`cross_entropy` of a transformer's logits; the label of a place is the token that should follow it.

    With experts their auxiliary losses are added: this is what training follows, not what the text costs.

    >>> from minillm.config import TINY
    >>> from minillm.transformer.transformer import init_params
    >>> text = np.array([1, 2, 3, 4])
    >>> loss = language_model_loss(init_params(TINY, np.random.default_rng(0)), text[:-1], text[1:], TINY)
    >>> bool(abs(loss - np.log(7)) < 0.1)  # a fresh model knows nothing
    True
    """
    logits, auxiliary = transformer_with_auxiliary_loss(params, tokens, config)
    return cross_entropy(logits, labels) + auxiliary
