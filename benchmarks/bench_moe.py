"""A layer of experts, forward and with gradients: beside a dense layer of equal active work, and Transformers' Mixtral.

A token passes through k experts of width F, or through one feed-forward layer of width k F: the same products, but the
dense layer chooses nothing and moves no rows. All are compared with the NumPy reference in float64, whose gradients
are derived by hand; Mixtral's block has the same weights. 64 experts need the same products as 8, so the peer of that
row is ours with 8.
"""

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minillm.config import MoEConfig
from minillm.experts import moe as reference
from minillm.experts import moe_vjp
from minillm.experts.fast.choose import moe
from minillm.layers import mlp_vjp
from minillm.layers.mlp_jax import swiglu

from .harness import Case, Options
from .torch_peer import DEVICES, on_host, tensors, torch_on, where

KEEP_FREED_MEMORY = True  # as in training
TOLERANCE = 1e-5  # of the largest value


@dataclass(frozen=True)
class Layer:
    """T tokens of D numbers, E experts of width F, k of them for each token."""

    T: int = 2048
    D: int = 256
    F: int = 1024
    E: int = 8
    k: int = 2
    dtype: str = "float32"

    @property
    def name(self) -> str:
        return f"moe/T{self.T}_D{self.D}_F{self.F}_k{self.k}"

    def arrays(self, exact: bool = False) -> tuple[Any, Any, Any]:
        """Tokens, parameters and the upstream gradient; weights large enough that every part matters.

        `exact` gives the same numbers in float64, for the reference.
        """
        rng = np.random.default_rng(0)
        x, g = rng.standard_normal((2, self.T, self.D), dtype=np.float32)
        params = reference.init_moe_params(MoEConfig(self.E, self.k), self.D, self.F, rng)
        tree = x, jax.tree.map(lambda leaf: 3 * leaf, params), g
        tree = jax.tree.map(lambda leaf: leaf.astype(jnp.dtype(self.dtype)), tree)
        return jax.tree.map(lambda leaf: leaf.astype(np.float64), tree) if exact else tree

    def dense_arrays(self, exact: bool = False) -> tuple[Any, Any, Any]:
        """The same for one dense layer as wide as k experts."""
        x, params, g = replace(self, F=self.k * self.F, E=1, k=1).arrays(exact)
        return x, {name: weight[0] for name, weight in params["experts"].items()}, g

    @functools.cache  # noqa: B019  there are few layers
    def expected(self, backward: bool, dense: bool = False, capacity_factor: float | None = None) -> Any:
        x, params, g = self.dense_arrays(True) if dense else self.arrays(True)
        if dense:
            out, vjp = mlp_vjp.swiglu_vjp(x, **params)
            dx, *dweights = vjp(g)
            return (out, dx, dict(zip(("gate", "up", "down"), dweights, strict=True))) if backward else out
        config = MoEConfig(self.E, self.k, capacity_factor=capacity_factor)
        out, vjp = moe_vjp.moe_vjp(x, params, config)
        return (out, *vjp(g)) if backward else out


def with_gradients(layer: Callable[[Any, Any], Any], backward: bool) -> Callable[..., Any]:
    """`layer` of tokens and parameters, jitted; with the gradients of both if `backward`."""

    def gradients(x: Any, params: Any, g: Any) -> Any:
        out, vjp = jax.vjp(layer, x, params)
        return out, *vjp(g)

    return jax.jit(gradients if backward else lambda x, params, _: layer(x, params))


def mixtral(layer: Layer, backward: bool, implementation: str, device: str) -> dict[str, Any]:
    """Transformers' block with our weights; `implementation` is its way to compute the experts."""

    def make() -> tuple[Callable[..., Any], tuple]:
        from transformers import MixtralConfig
        from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

        torch = torch_on(device)
        config = MixtralConfig(
            hidden_size=layer.D,
            intermediate_size=layer.F,
            num_local_experts=layer.E,
            num_experts_per_tok=layer.k,
            experts_implementation=implementation,
        )
        block = MixtralSparseMoeBlock(config)
        x, params, g = jax.tree.map(lambda leaf: leaf.astype(np.float32), layer.arrays())
        experts = params["experts"]
        with torch.no_grad():
            block.gate.weight.copy_(torch.from_numpy(params["router"].T.copy()))
            joined = np.concatenate([experts["gate"], experts["up"]], axis=-1).transpose(0, 2, 1).copy()
            block.experts.gate_up_proj.copy_(torch.from_numpy(joined))
            block.experts.down_proj.copy_(torch.from_numpy(experts["down"].transpose(0, 2, 1).copy()))
        block = block.to(device, getattr(torch, layer.dtype))
        weights = (block.gate.weight, block.experts.gate_up_proj, block.experts.down_proj)
        tokens, upstream = tensors(device, x[None], g[None], dtype=layer.dtype)
        tokens.requires_grad_(backward)

        def call() -> Any:
            if not backward:
                with torch.no_grad():
                    return block(tokens)
            out = block(tokens)
            return (out.detach(), *torch.autograd.grad(out, (tokens, *weights), upstream))

        return call, ()

    def result(output: Any) -> Any:
        if not backward:
            return on_host(output)[0]
        out, dx, router, joined, down = on_host(output)
        dgate, dup = np.split(joined.transpose(0, 2, 1), 2, axis=-1)
        experts = {"gate": dgate, "up": dup, "down": down.transpose(0, 2, 1)}
        return out[0], dx[0], {"router": router.T, "experts": experts}

    return {"make": make, "result": result, "requires": ("torch", "transformers"), **where(device)}


def rows(layer: Layer, backward: bool, platform: str) -> list[Case]:
    """Ours without a capacity, with one, and with 8 times the experts; the dense layer; Mixtral's ways."""
    many = replace(layer, E=8 * layer.E)
    work = f"{layer.name}/{'gradients' if backward else 'forward'}/{'f32' if layer.dtype == 'float32' else 'bf16'}"
    products = 6.0 * layer.T * layer.k * layer.D * layer.F
    common: dict[str, Any] = {
        "group": work,
        "dtype": layer.dtype,
        "tolerance": TOLERANCE,
        "flops_model": 3 * products if backward else products,
        "flops_rule": "2 a weight of a token's k experts, without the router; with gradients 3 times as much",
        "items": layer.T,
    }

    def ours(layer: Layer, capacity_factor: float | None = None) -> dict[str, Any]:
        config = MoEConfig(layer.E, layer.k, capacity_factor=capacity_factor)
        function = with_gradients(lambda x, params: moe(x, params, config), backward)
        expected = functools.partial(layer.expected, backward, False, capacity_factor)
        return {"make": lambda: (function, layer.arrays()), "oracle": expected, **common}

    dense = with_gradients(lambda x, params: swiglu(x, **params), backward)
    name, peer = f"{work}/E{layer.E}/jax", f"{work}/dense/jax"
    cases = [
        Case(name=name, peer=peer, **ours(layer)),
        Case(name=f"{work}/E{layer.E}_capacity1.25/jax", peer=peer, **ours(layer, 1.25)),
        Case(name=f"{work}/E{many.E}/jax", peer=name, **ours(many)),
        Case(
            name=peer,
            make=lambda: (dense, layer.dense_arrays()),
            oracle=functools.partial(layer.expected, backward, True),
            **common,
        ),
    ]
    if device := DEVICES.get(platform):
        for way in ("eager", "grouped_mm", "batched_mm"):
            if way == "batched_mm" and layer.T > 256:
                continue  # it copies an expert's weights for every token: 12 GB
            cases.append(
                Case(
                    name=f"{work}/E{layer.E}/mixtral_{way}",
                    oracle=functools.partial(layer.expected, backward),
                    **common,
                    **mixtral(layer, backward, way, device),
                )
            )
    return cases


def cases(options: Options) -> list[Case]:
    """One layer; on a GPU or TPU also one that is large enough for it; in a smoke run a small one."""
    layers = [Layer(T=64, D=16, F=32, E=4) if options.smoke else Layer()]
    if options.platform != "cpu" and not options.smoke:
        layers.append(Layer(T=8192, D=1024, F=4096, dtype="bfloat16"))
    kinds = itertools.product(layers, (False, True))
    return [case for layer, backward in kinds for case in rows(layer, backward, options.platform)]
