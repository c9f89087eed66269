"""The gradient of the loss that training follows, by hand."""

from collections.abc import Callable

import numpy as np  # noqa: F401  for the examples

from minillm.axes import Tokens, checked
from minillm.config import Config
from minillm.layers.losses_vjp import cross_entropy_vjp
from minillm.transformer.shared import Labels, Loss, Params
from minillm.transformer.transformer_vjp import transformer_with_auxiliary_loss_vjp


@checked
def language_model_loss_vjp(
    params: Params, tokens: Tokens, labels: Labels, config: Config
) -> tuple[Loss, Callable[[Loss], tuple[Params]]]:
    """`language_model_loss` and its gradient: by the chain rule, that of the one after that of the other.

    `vjp(1.0)` is what a step of training follows downhill.

    >>> from minillm.config import TINY
    >>> from minillm.transformer.transformer import init_params
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
