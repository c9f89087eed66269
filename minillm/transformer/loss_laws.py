"""Laws of the loss of a language model."""

from typing import Any

from hypothesis import strategies as st

from minillm.layers.losses_laws import label_arrays
from minillm.transformer.loss import language_model_loss
from minillm.transformer.transformer_laws import DENSE, WITH_EXPERTS, transformer_problems
from minillm.twins import Twin


@st.composite
def loss_problems(draw: Any) -> tuple[Any, ...]:
    """A model, texts, and the token that should follow each place, where one is known."""
    params, tokens, config = draw(transformer_problems((*DENSE, WITH_EXPERTS[0])))
    return params, tokens, draw(label_arrays(config.vocab_size, *tokens.shape)), config


TWINS = (Twin(language_model_loss, given=loss_problems(), gradient=("params",), float32=2e-6),)
