"""What a run learns: all parameters from scratch, all of a trained model, or an adapter of one.

The state of a run holds what is learned, and no more: with an adapter, the optimizer and the checkpoints have the
adapter's few arrays, and the base lies beside them, read by every step and written by none.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tokenizers import Tokenizer as Backend

from minillm.adaptation.fast.weights import with_lora
from minillm.adaptation.lora import init_lora
from minillm.config import Config, LoRAConfig
from minillm.errors import InputError
from minillm.models import open_model, write_adapter, write_model
from minillm.training.checkpoint import checksums
from minillm.training.config import TrainConfig
from minillm.training.corpus import Corpus, load_corpus
from minillm.training.step import first_params

Params = dict[str, Any]


@dataclass(frozen=True)
class Learner:
    """The model of a run, where it starts, and how what is learned becomes a model."""

    model: Config
    first: Any  # what is learned, before the first step; NumPy arrays
    frozen: Params | None = None  # what is not
    lora: LoRAConfig | None = None
    base: str | None = None
    seed: int = 0

    def assemble(self, learned: Any, frozen: Any, step: Any = None) -> Params:
        """The base with the adapter; with a step, as in training, where dropout is drawn from seed and step."""
        assert self.lora is not None  # else what is learned is the model
        key = None
        if step is not None and self.lora.dropout:
            key = jax.random.fold_in(jax.random.key(self.seed), step)
        return with_lora(frozen, learned, self.lora.scale, key, self.lora.dropout)

    def export(self, folder: Path, learned: Any, tokenizer: Backend) -> None:
        """Write what was learned, as files that others read."""
        if self.lora is None:
            write_model(folder, self.model, learned, tokenizer)
        else:
            write_adapter(folder, learned, self.lora, self.model, self.base)

    @property
    def num_learned(self) -> int:
        """How many numbers are learned."""
        return sum(int(np.size(leaf)) for leaf in jax.tree.leaves(self.first))


def make_learner(config: TrainConfig) -> tuple[Learner, Corpus, str]:
    """What a run learns, from what, and the digest of both: a run goes on only with what it began with."""
    if config.finetune is None:
        corpus = load_corpus(config)
        model = config.model.config(corpus.vocab_size)
        return Learner(model, first_params(config, model)), corpus, corpus.sha256
    base = open_model(config.finetune.base)
    if config.model.context_length > base.config.context_length:
        raise InputError(
            f"model.context_length is {config.model.context_length}, and {config.finetune.base} reads "
            f"{base.config.context_length} tokens at most; lower it."
        )
    corpus = load_corpus(config, base.tokenizer.backend)
    digest = hashlib.sha256(f"{corpus.sha256} {checksums(base.params)}".encode()).hexdigest()
    name, lora = config.finetune.base, config.finetune.lora
    if config.finetune.method == "full":
        return Learner(base.config, base.params, base=name), corpus, digest
    adapter = init_lora(base.params, lora, np.random.default_rng(config.seed))
    return Learner(base.config, adapter, base.params, lora, name, config.seed), corpus, digest
