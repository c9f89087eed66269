"""The settings of a training run, as frozen dataclasses; `minillm.training.settings` reads them from TOML."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from minillm.config import Config, LoRAConfig, MoEConfig
from minillm.data.tokenisation import KINDS
from minillm.devices import DEVICES
from minillm.errors import InputError
from minillm.learning.schedules import check_schedule

CHOICES = {
    "tokenizer": KINDS,
    "optimizer": ("adamw", "sgd"),
    "schedule": ("constant", "warmup_cosine", "warmup_stable_decay"),
    "dtype": ("float32", "bfloat16"),
    "device": (None, *DEVICES),
}


@dataclass(frozen=True)
class ModelShape:
    """A `Config` but for the vocabulary, which the tokenizer decides; its context is the length of a training row."""

    num_layers: int = 4
    model_dim: int = 128
    num_heads: int = 4
    num_kv_heads: int | None = None  # None: as many as num_heads
    head_dim: int | None = None  # None: model_dim / num_heads
    ffn_dim: int | None = (
        None  # None: 8/3 of model_dim, to the next multiple of 8: as many weights as 4 D without a gate
    )
    context_length: int = 64
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5
    tied_embeddings: bool = True
    moe: MoEConfig | None = None  # a table [model.moe]: the feed-forward layers are experts, each of width ffn_dim

    def config(self, vocab_size: int) -> Config:
        """The model for a vocabulary.

        >>> ModelShape(model_dim=96, num_heads=3).config(65).ffn_dim
        256
        """
        if self.num_heads < 1 or (self.head_dim is None and self.model_dim % self.num_heads):
            raise InputError(
                f"model: {self.num_heads} heads do not divide model_dim {self.model_dim}; change one, or give head_dim."
            )
        if self.context_length < 1:
            raise InputError(f"model: context_length is {self.context_length}; it must be at least 1.")
        given = dataclasses.asdict(self) | {"moe": self.moe}
        given["num_kv_heads"] = self.num_heads if self.num_kv_heads is None else self.num_kv_heads
        given["head_dim"] = self.model_dim // self.num_heads if self.head_dim is None else self.head_dim
        given["ffn_dim"] = -(-self.model_dim // 3) * 8 if self.ffn_dim is None else self.ffn_dim
        return Config(vocab_size=vocab_size, **given)


@dataclass(frozen=True)
class Finetune:
    """What a run starts from, where that is a trained model, and how it changes it."""

    base: str = "smollm2"  # a name or path that `open_model` knows; its tokenizer is used
    method: str = "lora"  # "full": all parameters; "lora": an adapter alone
    lora: LoRAConfig = field(default_factory=LoRAConfig)  # of the method "lora"

    def __post_init__(self) -> None:
        """Refuse a method that there is not."""
        if self.method not in ("full", "lora"):
            raise InputError(f"finetune.method is {self.method!r}; choose one of full, lora.")


@dataclass(frozen=True)
class TrainConfig:
    """One run, completely: the same settings give the same parameters on the same kind of machine."""

    out: str  # the folder of the run
    text: str = "shakespeare"  # a name that `minillm.data.load_text` knows, or a UTF-8 file
    validation_fraction: float = 0.1  # of the text's characters, at its end
    tokenizer: str = "characters"  # see `minillm.data.tokenisation`
    vocab_size: int = 1024  # of the tokenizer "bpe"; the others follow from the text
    model: ModelShape = field(default_factory=ModelShape)
    seed: int = 0  # of the first parameters and of the batches
    batch_size: int = 16  # rows of a step, over all devices
    steps: int = 1000
    optimizer: str = "adamw"
    learning_rate: float = 1e-3  # the schedule's peak
    schedule: str = "warmup_cosine"
    warmup_steps: int = 0
    decay_steps: int = 0  # of the schedule "warmup_stable_decay"
    final_fraction: float = 0.1  # of the learning rate, at the end
    beta1: float = 0.9
    beta2: float = 0.95
    momentum: float = 0.9  # of the optimizer "sgd"
    weight_decay: float = 0.1  # of the optimizer "adamw"
    clip_norm: float | None = 1.0  # the longest gradient; None: as long as it is
    dtype: str = "float32"  # of the model's arithmetic; parameters, optimizer and loss are always float32
    eval_interval: int = 250  # steps
    eval_batches: int = 20  # at most; always the same ones
    checkpoint_interval: int = 250  # steps
    keep_checkpoints: int = 2
    device: str | None = None  # None: JAX's own choice
    data_axis: int | None = None  # devices, or groups of expert_axis of them, that share a batch; None: all there are
    finetune: Finetune | None = None  # a table [finetune]: of `model`, context_length alone is then used
    expert_axis: int = 1  # devices that share the experts of [model.moe]; they share a batch too

    def __post_init__(self) -> None:
        """Refuse values that no run can have."""
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                names = ", ".join(str(choice) for choice in allowed if choice is not None)
                raise InputError(f"{name} is {getattr(self, name)!r}; choose one of {names}.")
        least = {"batch_size": 1, "steps": 1, "eval_interval": 1, "eval_batches": 1, "checkpoint_interval": 1}
        for name, minimum in {**least, "keep_checkpoints": 2, "seed": 0, "weight_decay": 0}.items():
            if not minimum <= getattr(self, name) < float("inf"):
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least {minimum}.")
        for name in ("beta1", "beta2", "momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 0 and below 1.")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise InputError(f"clip_norm is {self.clip_norm}; it must be above 0, or left out.")
        if self.data_axis is not None and self.data_axis < 1:
            raise InputError(f"data_axis is {self.data_axis}; it must be at least 1, or left out.")
        self._check_expert_axis()
        if not self.out:
            raise InputError("out is empty; name the folder that the run is to be written to.")
        self.model.config(vocab_size=1)
        total = None if self.schedule == "constant" else self.steps
        decay = self.decay_steps if self.schedule == "warmup_stable_decay" else 0
        check_schedule(self.learning_rate, self.warmup_steps, total, decay, self.final_fraction)

    def _check_expert_axis(self) -> None:
        """Refuse experts that the devices cannot share."""
        moe, devices = self.model.moe, self.expert_axis
        if devices < 1:
            raise InputError(f"expert_axis is {devices}; it must be at least 1.")
        if devices == 1:
            return
        if moe is None:
            raise InputError(f"expert_axis is {devices}, but the model has no experts; add [model.moe].")
        if moe.num_experts % devices:
            raise InputError(f"expert_axis is {devices}, which does not divide {moe.num_experts} experts; change one.")
        if moe.choice == "expert":
            raise InputError(f"expert_axis is {devices}, where experts cannot choose; let tokens choose.")

    def as_dict(self) -> dict[str, Any]:
        """The settings as they would stand in TOML, those left to None included, but for whole tables."""
        settings = dataclasses.asdict(self)
        if self.model.moe is None:
            del settings["model"]["moe"]
        if self.finetune is None:
            del settings["finetune"]
        else:
            settings["finetune"]["lora"]["targets"] = list(self.finetune.lora.targets)
        return settings
