"""The loss that training follows: a transformer's cross-entropy, and its experts' auxiliary losses."""

from collections.abc import Callable
from typing import Any

import numpy as np  # noqa: F401  for the examples
from jaxtyping import Float, Int

from minillm.axes import Tokens, checked
from minillm.config import Config
from minillm.reference.losses import cross_entropy, cross_entropy_vjp
from minillm.reference.transformer import Params, transformer_with_auxiliary_loss, transformer_with_auxiliary_loss_vjp

Labels = Int[Any, "*batch T"]
Loss = Float[Any, ""]


@checked
def language_model_loss(params: Params, tokens: Tokens, labels: Labels, config: Config) -> Loss:
    """`cross_entropy` of a transformer's logits; the label of a place is the token that should follow it.

    With experts their auxiliary losses are added: this is what training follows, not what the text costs.

    >>> from minillm.config import TINY
    >>> from minillm.reference.transformer import init_params
    >>> text = np.array([1, 2, 3, 4])
    >>> loss = language_model_loss(init_params(TINY, np.random.default_rng(0)), text[:-1], text[1:], TINY)
    >>> bool(abs(loss - np.log(7)) < 0.1)  # a fresh model knows nothing
    True
    """
    logits, auxiliary = transformer_with_auxiliary_loss(params, tokens, config)
    return cross_entropy(logits, labels) + auxiliary


@checked
def language_model_loss_vjp(
    params: Params, tokens: Tokens, labels: Labels, config: Config
) -> tuple[Loss, Callable[[Loss], tuple[Params]]]:
    """`language_model_loss` and its gradient: by the chain rule, that of the one after that of the other.

    `vjp(1.0)` is what a step of training follows downhill.

    >>> from minillm.config import TINY
    >>> from minillm.reference.transformer import init_params
    >>> params, text = init_params(TINY, np.random.default_rng(0)), np.array([1, 2, 3, 4])
    >>> loss, vjp = language_model_loss_vjp(params, text[:-1], text[1:], TINY)
    >>> [dparams] = vjp(1.0)
    >>> dparams["embedding"].shape
    (7, 4)
    """
    (logits, auxiliary), transformer_back = transformer_with_auxiliary_loss_vjp(params, tokens, config)
    loss, loss_back = cross_entropy_vjp(logits, labels)

    def vjp(g: Loss) -> tuple[Params]:
        [dlogits] = loss_back(g)
        return transformer_back((dlogits, g))

    return loss + auxiliary, vjp
