"""Scaling laws: what a model's size, its data and its training cost say of its loss, before it is trained.

    parameters   N = 12 L d^2                                        [Kaplan2020], section 2.1; no embeddings
    compute      C = 6 N D + attention                               eq. 2.2; [Chowdhery2022], appendix B
    Kaplan       L = [(Nc / N)^(aN / aD) + Dc / D]^aD                eq. 1.5
    Chinchilla   L = E + A / N^alpha + B / D^beta                    [Hoffmann2022], eq. 2
    best split   N = G (C / 6)^a,  D = (C / 6)^(1 - a) / G           eq. 4, a = beta / (alpha + beta)
    repetition   D' = U + U R* (1 - exp(-R / R*))                    [Muennighoff2023], eq. 5

N is parameters, D training tokens, C training FLOP, L loss in nats a token; in a count of parameters L is layers and d
the width. Kaplan's N leaves the embeddings out, Hoffmann's counts everything. Kaplan's laws go to 0; Hoffmann's E
stays, the loss of a model that knows all there is to know. Numbers may be arrays; floating-point ones keep their dtype.
"""

from typing import Any

import numpy as np

from minillm.errors import InputError
from minillm.learning.shared import BESIROGLU, REPEATS_STAR, Chinchilla, check_budget

PF_DAY = 8.64e19  # FLOP: 10^15 a second for a day, the unit of Kaplan's compute
ATTENTION = {"none": 0, "kaplan": 6, "palm": 12}  # FLOP for each layer, channel and position of the context


HOFFMANN = Chinchilla(1.69, 406.4, 410.7, 0.34, 0.28)  # as printed, eq. 10
HOFFMANN_UNROUNDED = Chinchilla(1.6934, 406.4, 410.7, 0.3392, 0.2849)  # as the paper's TeX source has them


def gpt2_parameters(num_layers: int, model_dim: int, vocab_size: int = 50257, context_length: int = 1024) -> int:
    """All weights of a GPT-2: biases, norms and the table of learned positions counted, the tied head once.

    >>> gpt2_parameters(12, 768)
    124439808
    """
    layer = 12 * model_dim**2 + 13 * model_dim  # 4 d^2 + 4 d attention, 8 d^2 + 5 d feed-forward, 4 d norms
    return (vocab_size + context_length) * model_dim + num_layers * layer + 2 * model_dim


def kaplan_parameters(num_layers: int, model_dim: int) -> int:
    """Weights of the matrices inside the blocks, for attention as wide as the model and four times that after it.

    >>> kaplan_parameters(12, 768)
    84934656
    """
    return 12 * num_layers * model_dim**2


def training_flops(
    num_parameters: Any, num_layers: int = 0, attention_dim: int = 0, context_length: int = 0, attention: str = "none"
) -> Any:
    """Training FLOP a token: forward 2 N, backward twice that; and the products of queries, keys and values.

    "palm" counts every pair of positions, "kaplan" those that a causal mask leaves, which are half of them.

    >>> training_flops(1000), training_flops(1000, 2, 8, 16, "kaplan"), training_flops(1000, 2, 8, 16, "palm")
    (6000, 7536, 9072)
    """
    if attention not in ATTENTION:
        raise InputError(f"training_flops: attention is {attention!r}; choose one of {', '.join(ATTENTION)}.")
    return 6 * num_parameters + ATTENTION[attention] * num_layers * attention_dim * context_length


def kaplan_loss_of_size(num_parameters: Any) -> Any:
    """Loss of a model with this many parameters (embeddings aside), trained until it learns no more; eq. 1.1.

    >>> round(float(kaplan_loss_of_size(1e9)), 3)
    2.376
    """
    return (8.8e13 / num_parameters) ** 0.076


def kaplan_loss_of_data(num_tokens: Any) -> Any:
    """Loss of a large model on this many tokens, stopped where it is best; eq. 1.2.

    >>> round(float(kaplan_loss_of_data(1e9)), 3)
    2.816
    """
    return (5.4e13 / num_tokens) ** 0.095


def kaplan_loss_of_compute(flops: Any) -> Any:
    """Loss of the best model that this many FLOP can train; eq. 1.3, whose own unit is the PF-day.

    >>> round(float(kaplan_loss_of_compute(PF_DAY)), 3)
    2.658
    """
    return (3.1e8 * PF_DAY / flops) ** 0.050


def kaplan_loss(num_parameters: Any, num_tokens: Any) -> Any:
    """Loss of a size and a number of tokens together; eq. 1.5 with the constants of table 2.

    >>> round(float(kaplan_loss(1e9, 1e10)), 3)
    2.42
    """
    return ((6.4e13 / num_parameters) ** (0.076 / 0.103) + 1.8e13 / num_tokens) ** 0.103


def kaplan_optimal_size(flops: Any) -> Any:
    """Parameters (embeddings aside) that Kaplan et al. would have a budget spent on: 1.3e9 for a PF-day, table 6.

    >>> round(float(kaplan_optimal_size(PF_DAY) / 1e9), 3)
    1.3
    """
    return 1.3e9 * (flops / PF_DAY) ** 0.73


def chinchilla_loss(num_parameters: Any, num_tokens: Any, law: Chinchilla = BESIROGLU) -> Any:
    """Loss of a size and a number of tokens: what cannot be known, what the size misses, what the data miss.

    >>> round(float(chinchilla_loss(70e9, 1.4e12)), 3)
    1.974
    """
    return law.E + law.A * num_parameters**-law.alpha + law.B * num_tokens**-law.beta


def optimal_split(flops: Any, law: Chinchilla = BESIROGLU) -> tuple[Any, Any]:
    """Parameters and tokens that make the least loss of a budget of 6 N D.

    With D = C / 6N the loss has derivative 0 where alpha A / N^alpha = beta B / D^beta, which gives the closed form.

    >>> size, tokens = optimal_split(5.76e23)
    >>> round(size / 1e9), round(tokens / size)
    (72, 18)
    """
    check_budget(flops)
    a = law.beta / (law.alpha + law.beta)
    G = (law.alpha * law.A / (law.beta * law.B)) ** (1 / (law.alpha + law.beta))
    return G * (flops / 6) ** a, (flops / 6) ** (1 - a) / G


def effective_tokens(unique_tokens: Any, epochs: Any, repeats_star: float = REPEATS_STAR) -> Any:
    """How many fresh tokens are worth as much as these ones read `epochs` times, at least once.

    >>> round(float(effective_tokens(100.0, 4.0)), 1), round(float(effective_tokens(100.0, 1e6)), 1)
    (372.6, 1639.0)
    """
    return unique_tokens * (1 - repeats_star * np.expm1((1 - epochs) / repeats_star))
