"""A training step: loss, gradient, clipping, AdamW; ours (`minillm.training.step`) beside PyTorch eager.

Both train the same Llama-form model from the same parameters on the same bytes of Shakespeare, with the same optimiser
and schedule. Their loss after a few updates is compared with the NumPy reference in float64, whose gradients are
derived by hand. PyTorch uses its fused RMS norm, attention and AdamW. Both run in one process, so the allocator's
setting serves PyTorch as well. On a GPU or TPU there is also a model of the shape of GPT-2 small, in float32 and with
products in bfloat16; NumPy would take minutes for it, so PyTorch's float64 is its oracle.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from minillm.config import Config
from minillm.data.batches import Batches
from minillm.data.shakespeare import shakespeare
from minillm.errors import DownloadError
from minillm.learning import optimizer
from minillm.training.config import ModelShape, TrainConfig
from minillm.training.mesh import make_mesh, parameter_sharding, place_rows
from minillm.training.step import TrainState, first_params, init_state, make_step
from minillm.transformer.loss_vjp import language_model_loss_vjp

from .harness import Case, Options, Unavailable
from .torch_peer import DEVICES, on_host, tensors, torch_on, where

KEEP_FREED_MEMORY = True
BYTES = 256


@functools.cache
def text() -> np.ndarray:
    """The bytes that both train on."""
    try:
        return np.frombuffer(shakespeare().encode(), np.uint8).astype(np.int32)
    except DownloadError as error:
        raise Unavailable(f"the text is not in the cache and cannot be fetched: {error}") from error


@dataclass(frozen=True)
class Size:
    """One model and batch; `steps` updates are one timed batch."""

    num_layers: int
    model_dim: int
    num_heads: int
    length: int  # T
    batch_size: int  # B
    steps: int
    dtype: str = "float32"
    by_torch: bool = False  # the expected loss is PyTorch's, not NumPy's

    @property
    def name(self) -> str:
        return f"training/L{self.num_layers}_D{self.model_dim}_T{self.length}_B{self.batch_size}"

    @property
    def short_dtype(self) -> str:
        return {"float32": "f32", "bfloat16": "bf16"}[self.dtype]

    @functools.cached_property
    def settings(self) -> TrainConfig:
        shape = ModelShape(
            num_layers=self.num_layers,
            model_dim=self.model_dim,
            num_heads=self.num_heads,
            context_length=self.length,
        )
        return TrainConfig(
            out="unused",
            model=shape,
            batch_size=self.batch_size,
            schedule="constant",
            data_axis=1,
            seed=0,
            dtype=self.dtype,
        )

    @functools.cached_property
    def config(self) -> Config:
        return self.settings.model.config(BYTES)

    def rows(self, step: int) -> Any:
        return Batches(text(), self.batch_size, self.length, seed=0).rows(step)

    @functools.cache  # noqa: B019  there are few sizes
    def expected(self, device: str) -> np.ndarray:
        """The loss of the last of `steps` batches, before its update, in float64."""
        if self.by_torch:
            model = TorchModel(self.settings, self.config, device, "float64")
            losses = [model.step(*model.tensors(self.rows(step))) for step in range(self.steps)]
            return on_host(losses[-1])
        params = jax.tree.map(lambda x: np.asarray(x, np.float64), first_params(self.settings, self.config))
        state, c = optimizer.adamw_init(params), self.settings
        for step in range(self.steps):
            loss, vjp = language_model_loss_vjp(params, *self.rows(step), self.config)
            if step < self.steps - 1:
                (gradients,) = vjp(np.ones_like(loss))
                gradients = optimizer.clip_by_global_norm(gradients, c.clip_norm)
                params, state = optimizer.adamw_update(gradients, state, params, c.learning_rate)
        return np.asarray(loss)

    def flops(self) -> float:
        c, tokens = self.config, self.batch_size * self.length
        # the scales of norms do no product; the embedding does one, as the head
        matrices = c.num_parameters - c.model_dim * (2 * c.num_layers + 1)
        attention = 2.0 * c.num_layers * self.length * c.num_heads * c.head_dim
        return 3 * tokens * (2.0 * matrices + attention)


def ours(size: Size, platform: str) -> dict[str, Any]:
    """`make_step`, as the trainer calls it."""

    @functools.cache
    def program() -> tuple[Callable[..., Any], list[Any]]:
        mesh = make_mesh(platform, 1)
        rows = [place_rows(mesh, size.rows(step), size.batch_size) for step in range(size.steps)]
        return make_step(size.settings, size.config, mesh), rows

    def reset() -> tuple[TrainState, None, int]:
        copied = jax.tree.map(
            np.array, init_state(size.settings, first_params(size.settings, size.config))
        )  # a step donates its state
        return jax.device_put(copied, parameter_sharding(make_mesh(platform, 1), copied)), None, 0

    def step(carried: tuple[TrainState, Any, int]) -> tuple[TrainState, Any, int]:
        state, _, number = carried
        run, rows = program()
        return *run(state, *rows[number]), number + 1

    def make() -> tuple[Callable[..., Any], tuple]:
        run, rows = program()
        step.lower = lambda state: run.lower(state[0], *rows[0])  # type: ignore[attr-defined]
        return step, ()

    return {"make": make, "reset": reset, "result": lambda carried: np.asarray(carried[1].loss)}


class TorchModel:
    """The same model, optimiser and clipping, as one would write it in PyTorch."""

    def __init__(self, settings: TrainConfig, config: Config, device: str = "cpu", dtype: str = "float32"):
        """Parameters in `dtype`; products too, unless the settings say bfloat16."""
        torch = torch_on(device)
        self.config, self.settings, self.device = config, settings, device
        self.dtype = getattr(torch, settings.dtype if dtype == "float32" else dtype)
        params = first_params(self.settings, self.config)
        # torch.nn.functional.linear wants (d_out, d_in); arrays are copied, for updates happen in place.
        self.params = jax.tree.map(
            lambda x: torch.tensor(np.asarray(x), dtype=getattr(torch, dtype), device=device), params
        )
        for layer in self.params["layers"]:
            for block in ("attention", "mlp"):
                layer[block] = {name: weight.T.contiguous() for name, weight in layer[block].items()}
        self.leaves = [leaf.requires_grad_() for leaf in jax.tree.leaves(self.params)]
        decayed, free = ([p for p in self.leaves if (p.ndim >= 2) == is_matrix] for is_matrix in (True, False))
        c = self.settings
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": c.weight_decay}, {"params": free, "weight_decay": 0.0}],
            lr=c.learning_rate, betas=(c.beta1, c.beta2), eps=1e-8, fused=True,
        )  # fmt: skip
        H = self.config.head_dim
        angles = np.arange(config.context_length)[:, None] * self.config.rope_theta ** (-np.arange(0, H, 2) / H)
        self.cos, self.sin = (x.to(self.dtype) for x in tensors(device, np.cos(angles), np.sin(angles)))

    def step(self, tokens: Any, labels: Any) -> Any:
        import torch

        self.optimizer.zero_grad(set_to_none=True)
        loss = self.mean_loss(tokens, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.leaves, self.settings.clip_norm)
        self.optimizer.step()
        return loss.detach()

    def mean_loss(self, tokens: Any, labels: Any) -> Any:
        import torch.nn.functional as F

        D, eps = (self.config.model_dim,), self.config.norm_eps
        params = jax.tree.map(lambda leaf: leaf.to(self.dtype), self.params)  # no copy if they have it
        x = F.embedding(tokens, params["embedding"])
        for layer in params["layers"]:
            x = x + self.attention(F.rms_norm(x, D, layer["attention_norm"], eps), layer["attention"])
            hidden, mlp = F.rms_norm(x, D, layer["mlp_norm"], eps), layer["mlp"]
            x = x + F.linear(F.silu(F.linear(hidden, mlp["gate"])) * F.linear(hidden, mlp["up"]), mlp["down"])
        logits = F.linear(F.rms_norm(x, D, params["final_norm"], eps), params["embedding"]).flatten(0, 1)
        return F.cross_entropy(logits.float() if logits.element_size() < 4 else logits, labels.flatten())

    def tensors(self, rows: Any) -> list[Any]:
        """A batch with the integers that PyTorch's loss takes."""
        return [part.long() for part in tensors(self.device, *rows)]

    def attention(self, x: Any, weights: dict[str, Any]) -> Any:
        import torch.nn.functional as F

        query, key, value = (
            F.linear(x, weights[name]).unflatten(-1, (-1, self.config.head_dim)).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        out = F.scaled_dot_product_attention(self.rotated(query), self.rotated(key), value, is_causal=True)
        return F.linear(out.transpose(1, 2).flatten(2), weights["output"])

    def rotated(self, x: Any) -> Any:
        import torch

        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * self.cos - second * self.sin, second * self.cos + first * self.sin], dim=-1)


def peers(size: Size, device: str) -> dict[str, Any]:
    """PyTorch eager, with its batches made in advance."""

    def reset() -> tuple[TorchModel, Any, int]:
        return TorchModel(size.settings, size.config, device), None, 0

    @functools.cache
    def rows() -> list[Any]:
        return [reset()[0].tensors(size.rows(step)) for step in range(size.steps)]

    def step(carried: tuple[TorchModel, Any, int]) -> tuple[TorchModel, Any, int]:
        model, _, number = carried
        return model, model.step(*rows()[number]), number + 1

    def make() -> tuple[Callable[..., Any], tuple]:
        rows()
        return step, ()

    return {"make": make, "reset": reset, "result": lambda carried: on_host(carried[1]), **where(device)}


def cases(options: Options) -> list[Case]:
    """Three sizes; a GPU or TPU has one more that is large enough for it, a smoke run one small one."""
    sizes = [Size(1, 16, 2, 8, 2, 3)] if options.smoke else [
        Size(4, 128, 4, 64, 12, 12), Size(4, 256, 8, 128, 16, 3), Size(6, 384, 6, 256, 4, 3)
    ]  # fmt: skip
    if options.platform != "cpu" and not options.smoke:
        sizes += [Size(12, 768, 12, 1024, 8, 3, dtype, by_torch=True) for dtype in ("float32", "bfloat16")]
    device = DEVICES.get(options.platform)
    rows = []
    for size in sizes:
        name = f"{size.name}/{size.short_dtype}"
        common: dict[str, Any] = {
            "group": name,
            "dtype": size.dtype,
            "steps": size.steps,
            "oracle": functools.partial(size.expected, device or "cpu"),
            "oracle_name": "PyTorch float64" if size.by_torch else "numpy float64",
            "flops_model": size.flops(),
            "flops_rule": "3 (forward, backward twice that) times 2 a weight and token and 2 T N H a layer and token",
            "items": size.batch_size * size.length,
        }
        peer = f"{name}/torch" if device else None
        needed = ("torch",) if size.by_torch else ()  # for its oracle
        rows.append(Case(name=f"{name}/jax", peer=peer, requires=needed,
                         **ours(size, options.platform), **common))  # fmt: skip
        if device:
            rows.append(Case(name=peer, requires=("torch",), **peers(size, device), **common))
    return rows
