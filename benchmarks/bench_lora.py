"""A LoRA step on SmolLM2, beside PEFT's: loss, the adapter's gradients, and AdamW; all linear layers, rank 8.

Both start at the base model, so the first loss must be the base's; `tests/models/test_adapter_folder.py` compares the
gradients. The base is frozen in both: PyTorch computes no gradient of it either.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from minillm.adaptation.lora import init_lora
from minillm.config import TINY, Config, LoRAConfig
from minillm.errors import DownloadError
from minillm.layers.fast.transposed import transpose_weights
from minillm.layers.losses import cross_entropy
from minillm.models.llama_config import config_to_json
from minillm.models.llama_folder import folder_tensors
from minillm.models.model_files import open_model
from minillm.training.config import TrainConfig
from minillm.training.learner import Learner
from minillm.training.mesh import make_mesh, parameter_sharding, place_rows
from minillm.training.step import TrainState, init_state, make_step
from minillm.transformer.transformer import init_params, transformer

from .case import Unavailable
from .harness import Case, Options
from .torch_peer import DEVICES, on_host, tensors, torch_on, where

KEEP_FREED_MEMORY = True  # as in training


def lora(smoke: bool) -> LoRAConfig:
    """Rank 8; rank 2 for the tiny model, whose matrices are small."""
    return LoRAConfig(rank=2 if smoke else 8, alpha=16.0)


@functools.cache
def model(smoke: bool) -> tuple[Config, Any]:
    """SmolLM2; in a smoke run a tiny model."""
    if smoke:
        return TINY, init_params(TINY, np.random.default_rng(0))
    try:
        opened = open_model("smollm2")
    except DownloadError as error:
        raise Unavailable(f"SmolLM2 is not in the cache and cannot be fetched: {error}") from error
    return opened.config, opened.params


def rows(smoke: bool, batch_size: int, length: int) -> tuple[Any, Any]:
    """Tokens, and as labels the tokens that follow them."""
    drawn = np.random.default_rng(1).integers(0, model(smoke)[0].vocab_size, (batch_size, length + 1), dtype=np.int32)
    return drawn[:, :-1], drawn[:, 1:]


def settings() -> TrainConfig:
    return TrainConfig(
        out="unused", learning_rate=1e-4, schedule="constant", clip_norm=None, weight_decay=0.01, data_axis=1
    )


def ours(smoke: bool, platform: str, batch_size: int, length: int) -> dict[str, Any]:
    """The step of the trainer."""

    @functools.cache
    def program() -> tuple[Callable[..., Any], Any, Any, Any]:
        config, params = model(smoke)
        mesh, rng = make_mesh(platform, 1), np.random.default_rng(2)
        learner = Learner(config, init_lora(params, lora(smoke), rng), params, lora(smoke))
        frozen = transpose_weights(params)
        frozen = jax.device_put(frozen, parameter_sharding(mesh, frozen))
        step = make_step(settings(), config, mesh, learner.assemble)
        return step, learner, frozen, place_rows(mesh, rows(smoke, batch_size, length), batch_size)

    def reset() -> tuple[TrainState, None]:
        first = jax.tree.map(np.array, init_state(settings(), program()[1].first))
        mesh = make_mesh(platform, 1)
        return jax.device_put(first, parameter_sharding(mesh, first)), None

    def step(carried: tuple[TrainState, Any]) -> tuple[TrainState, Any]:
        run, _, frozen, given = program()
        return run(carried[0], *given, frozen=frozen)

    def make() -> tuple[Callable[..., Any], tuple]:
        run, _, frozen, given = program()
        step.lower = lambda carried: run.lower(carried[0], *given, frozen=frozen)  # type: ignore[attr-defined]
        return step, ()

    return {"make": make, "reset": reset, "result": lambda carried: np.asarray(carried[1].loss)}


def peft(smoke: bool, batch_size: int, length: int, device: str) -> dict[str, Any]:
    """PEFT on Transformers' Llama with the same weights."""

    @functools.cache
    def built() -> tuple[Any, Any, Any]:
        import transformers
        from peft import LoraConfig, get_peft_model

        torch = torch_on(device)
        config, params = model(smoke)
        llama = transformers.LlamaForCausalLM(transformers.LlamaConfig(**config_to_json(config)))
        weights = {name: torch.from_numpy(numbers) for name, numbers in folder_tensors(config, params).items()}
        llama.load_state_dict(weights, strict=False)
        llama.tie_weights()
        given = lora(smoke)
        theirs = LoraConfig(r=given.rank, lora_alpha=given.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
        changed = get_peft_model(llama, theirs).to(device)
        tokens, labels = (part.long() for part in tensors(device, *rows(smoke, batch_size, length)))
        return changed.train(), tokens, labels

    def reset() -> tuple[Any, Any]:
        import torch

        changed, _, _ = built()
        learned = [parameter for parameter in changed.parameters() if parameter.requires_grad]
        with torch.no_grad():
            for name, parameter in changed.named_parameters():
                if "lora_B" in name:
                    parameter.zero_()
        return torch.optim.AdamW(learned, lr=1e-4, weight_decay=0.01), None

    def step(carried: tuple[Any, Any]) -> tuple[Any, Any]:
        import torch

        changed, tokens, labels = built()
        optimizer, _ = carried
        logits = changed(input_ids=tokens).logits
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return optimizer, loss.detach()

    def make() -> tuple[Callable[..., Any], tuple]:
        built()
        return step, ()

    packages = ("torch", "transformers", "peft")
    return {"make": make, "reset": reset, "result": lambda c: on_host(c[1]), "requires": packages, **where(device)}


def cases(options: Options) -> list[Case]:
    """4 rows of 128 tokens; a smoke run has a tiny model."""
    smoke = options.smoke
    batch_size, length = (2, 8) if smoke else (4, 128)

    def expected() -> np.ndarray:
        config, params = model(smoke)
        tokens, labels = rows(smoke, batch_size, length)
        return cross_entropy(transformer(params, tokens, config), labels)

    name = f"lora/smollm2_R8_B{batch_size}_T{length}/f32" if not smoke else "lora/tiny/f32"
    common: dict[str, Any] = {
        "group": name,
        "steps": 1,
        "oracle": expected,
        "oracle_name": "the base's loss in NumPy",
        "items": batch_size * length,
    }
    device = DEVICES.get(options.platform)
    peer = f"{name}/peft" if device else None
    cases = [Case(name=f"{name}/jax", peer=peer, **ours(smoke, options.platform, batch_size, length), **common)]
    if device:
        cases.append(Case(name=peer, **peft(smoke, batch_size, length, device), **common))
    return cases
