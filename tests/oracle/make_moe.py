"""Record what Transformers makes of a layer of experts: Mixtral's block, its balance loss, and Switch's two losses.

    python tests/oracle/make_moe.py

Needs the `peers` extra. Writes `moe.json`: the numbers that go in, and what comes out, with gradients. Mixtral's router
takes its softmax in float32, whatever the weights are.
"""

import json
from pathlib import Path

import numpy as np
import torch
from transformers import MixtralConfig
from transformers.models.mixtral import modeling_mixtral
from transformers.models.switch_transformers import modeling_switch_transformers

T, D, F, E, K = 7, 6, 5, 4, 2


def draw() -> dict:
    """Tokens, weights, upstream gradient and router logits, to four decimals; by name."""
    rng = np.random.default_rng(0)
    shapes = {
        "x": (T, D),
        "g": (T, D),
        "router": (D, E),
        "gate": (E, D, F),
        "up": (E, D, F),
        "down": (E, F, D),
        "logits": (T, E),
    }
    return {name: rng.standard_normal(shape).round(4) for name, shape in shapes.items()}


def mixtral(given: dict) -> dict:
    """Output and gradients of the block."""
    config = MixtralConfig(
        hidden_size=D,
        intermediate_size=F,
        num_local_experts=E,
        num_experts_per_tok=K,
        experts_implementation="eager",
    )
    block = modeling_mixtral.MixtralSparseMoeBlock(config).double()
    weights = (block.gate.weight, block.experts.gate_up_proj, block.experts.down_proj)
    joined = np.concatenate([given["gate"], given["up"]], axis=-1).transpose(0, 2, 1)
    with torch.no_grad():
        for weight, value in zip(weights, (given["router"].T, joined, given["down"].transpose(0, 2, 1)), strict=True):
            weight.copy_(torch.from_numpy(value.copy()))
    x = torch.from_numpy(given["x"])[None].requires_grad_()
    out = block(x)
    dx, drouter, djoined, ddown = torch.autograd.grad(out, (x, *weights), torch.from_numpy(given["g"])[None])
    dgate, dup = djoined.transpose(1, 2).chunk(2, dim=-1)
    found = {
        "out": out[0],
        "dx": dx[0],
        "drouter": drouter.T,
        "dgate": dgate,
        "dup": dup,
        "ddown": ddown.transpose(1, 2),
    }
    return {name: tensor.detach().tolist() for name, tensor in found.items()}


def losses(given: dict) -> dict:
    """Mixtral's balance loss, with and without padding (tokens 5 and 6), f summing to k; Switch's losses, k 1."""
    logits = torch.from_numpy(given["logits"])
    padded = torch.tensor([[1, 1, 1, 1, 1, 0, 0]])
    balance = modeling_mixtral.load_balancing_loss_func
    shares = logits.softmax(-1)[None]
    return {
        "mixtral_balance": float(balance((logits,), E, K)),
        "mixtral_balance_padded": float(balance((logits,), E, K, padded)),
        "switch_balance": float(
            modeling_switch_transformers.load_balancing_loss_func(shares, shares.argmax(-1, keepdim=True))
        ),
        "switch_z": float(modeling_switch_transformers.router_z_loss_func(logits[None])),
    }


if __name__ == "__main__":
    given = draw()
    found = {name: value.tolist() for name, value in given.items()} | mixtral(given) | losses(given)
    Path(__file__).with_name("moe.json").write_text(json.dumps(found) + "\n", encoding="utf-8")
