"""A language model one can ask: the parameters of a file, computed by either backend."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from minillm.adaptation.lora import merge_lora
from minillm.config import Sampling
from minillm.devices import check_backend, find_device
from minillm.errors import InputError
from minillm.models.adapter_folder import read_adapter
from minillm.models.model_files import PretrainedModel, open_model
from minillm.transformer.shared import bucket

_TOKENS = 1024  # about as many are scored together


@dataclass(frozen=True)
class Score:
    """How a model rates one answer to a question, in nats (see `minillm.transformer.scoring`)."""

    answer: str
    logprob: float
    num_tokens: int
    mean_logprob: float
    pmi: float


def load_model(
    model: str | Path = "smollm2",
    backend: str = "jax",
    device: str | None = None,
    adapter: str | Path | None = None,
) -> "LanguageModel":
    """Open a model (fetching it on first use) and put it on a device.

    `model` is "smollm2", a GGUF file, or a folder with config.json and safetensors. `backend` is "numpy"
    (NumPy, on the CPU) or "jax" (JAX); `device` is "cpu", "gpu" or "tpu", by default JAX's own choice.
    An `adapter`, a folder that `minillm finetune` or PEFT wrote, is merged into the model.
    """
    check_backend(backend, device)
    if backend == "jax":
        find_device(device)  # a missing device is refused before the file is read
    pretrained = open_model(model)
    if adapter is not None:
        changes, lora = read_adapter(adapter, pretrained.config)
        pretrained = replace(pretrained, params=merge_lora(pretrained.params, changes, lora.scale))
    return LanguageModel(pretrained, backend, device)


class LanguageModel:
    """The parameters and tokenizer of a `PretrainedModel` with one backend's functions."""

    def __init__(self, pretrained: PretrainedModel, backend: str, device: str | None = None):
        """Put the parameters where the backend computes."""
        self.name, self.config, self.tokenizer = pretrained.name, pretrained.config, pretrained.tokenizer
        self.backend = backend
        self.params, self.device = _placed(pretrained.params, backend, device)

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        """Logits (T, V) of the next token after every position."""
        tokens = self._tokens(ids)[None]
        return np.asarray(self._module("transformer").transformer(self.params, tokens, self.config)[0])

    def generate(
        self,
        prompt_ids: Sequence[int],
        max_new_tokens: int,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
    ) -> Iterator[int]:
        """Yield new token ids, the last of them a stop token or the `max_new_tokens`-th."""
        draws = np.random.default_rng(seed).random(max(max_new_tokens, 0), np.float32)
        sampling = Sampling(temperature, top_k, top_p)
        tokens, stop_ids = self._known(prompt_ids), self.tokenizer.stop_ids  # `generate` checks the lengths
        return self._module("generation").generate(self.params, tokens, draws, self.config, sampling, stop_ids)

    def log_probabilities(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> np.ndarray:
        """log P(continuation | context) in nats of each pair of token ids."""
        for context, continuation in pairs:
            if not context or not continuation:
                raise InputError("The question and each answer need at least one token; one of them is empty.")
            self._check_length(len(context) + len(continuation))
        order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]), reverse=True)
        out = np.zeros(len(pairs))
        while order:
            length = self._padded(len(pairs[order[0]][0]) + len(pairs[order[0]][1]))
            rows = max(1, min(8, _TOKENS // length))
            batch, order = order[:rows], order[rows:]
            out[batch] = self._score_batch([pairs[i] for i in batch], rows, length)[: len(batch)]
        return out

    def score(self, question: str, answers: Sequence[str], premise: str | None = None) -> list[Score]:
        """Rate each answer as the text that follows the question, to the letter: a space is yours to give.

        `premise` is the domain premise of the PMI; by default nothing but the start of a document.
        """
        if not answers:
            raise InputError("There are no answers to score; give at least one.")
        encode = self.tokenizer.encode
        context = encode(question)
        answer_ids = [encode(answer, add_special_tokens=False) for answer in answers]  # no second start of text
        domain = [self.tokenizer.document_start_id] if premise is None else encode(premise)
        log_probability = self.log_probabilities([(context, ids) for ids in answer_ids])
        premise_log_probability = self.log_probabilities([(domain, ids) for ids in answer_ids])
        lengths = np.array([len(ids) for ids in answer_ids])
        scores = self._module("scoring").answer_scores(log_probability, lengths, premise_log_probability)
        return [
            Score(answer, float(total), int(length), float(mean), float(pmi))
            for answer, length, total, mean, pmi in zip(answers, lengths, *scores, strict=True)
        ]

    def _score_batch(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], rows: int, length: int) -> np.ndarray:
        tokens = np.zeros((rows, length), np.int32)
        start, end = np.ones(rows, np.int32), np.ones(rows, np.int32)
        for i, (context, continuation) in enumerate(pairs):
            row = [*context, *continuation]
            tokens[i, : len(row)], start[i], end[i] = self._tokens(row), len(context), len(row)
        score = self._module("scoring").sequence_log_probability
        return np.asarray(score(self.params, tokens, self.config, start, end))

    def _padded(self, length: int) -> int:
        """The length that is computed: few are compiled; NumPy needs no padding."""
        if self.backend == "numpy":
            return length
        return bucket(length, halfway=True)

    def _tokens(self, ids: Sequence[int]) -> np.ndarray:
        """The ids of a text that must fit into the context."""
        tokens = self._known(ids)
        if tokens.size == 0:
            raise InputError("A model needs a list of at least one token id.")
        self._check_length(tokens.size)
        return tokens

    def _known(self, ids: Sequence[int]) -> np.ndarray:
        """The ids as an array, all of the vocabulary."""
        tokens = np.asarray(ids) if len(ids) else np.zeros(0, np.int32)
        if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
            raise InputError("A model needs a list of at least one token id.")
        if tokens.size and (tokens.min() < 0 or tokens.max() >= self.config.vocab_size):
            raise InputError(f"A token id is outside the model's vocabulary, 0 to {self.config.vocab_size - 1}.")
        return tokens.astype(np.int32)

    def _check_length(self, length: int) -> None:
        if length > self.config.context_length:
            raise InputError(f"The text has {length} tokens and the context {self.config.context_length}; shorten it.")

    def _module(self, name: str) -> ModuleType:
        return import_module(f"minillm.transformer.{name}{'_jax' if self.backend == 'jax' else ''}")


def _placed(params: Any, backend: str, device: str | None) -> tuple[Any, str]:
    if backend == "numpy":
        return params, "cpu"
    import jax

    from minillm.layers.fast.transposed import transpose_weights

    place = find_device(device)
    return jax.device_put(transpose_weights(params), place), place.platform
