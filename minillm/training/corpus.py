"""What a run learns from: a text, split, and cut into tokens."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jaxtyping import Int
from tokenizers import Tokenizer as Backend

from minillm.data.batches import Batches, Validation
from minillm.data.text import load_text, split_text
from minillm.data.tokenisation import encode, make_tokenizer
from minillm.training.config import TrainConfig


@dataclass(frozen=True)
class Corpus:
    """Token ids to train and to validate on, which share nothing, and the tokenizer that made them."""

    tokenizer: Backend
    train: Int[Any, "size"]
    validation: Int[Any, "size"]

    @property
    def vocab_size(self) -> int:
        """The ids that there are."""
        return self.tokenizer.get_vocab_size()

    @cached_property
    def sha256(self) -> str:
        """Of all ids and the tokenizer: a run goes on only with what it began with."""
        digest = hashlib.sha256(self.tokenizer.to_str().encode("utf-8"))
        for ids in (self.train, self.validation):
            digest.update(ids.astype("<i4").tobytes())
        return digest.hexdigest()

    def batches(self, config: TrainConfig) -> Batches:
        """What to train on."""
        return Batches(self.train, config.batch_size, config.model.context_length, config.seed)

    def validation_batches(self, config: TrainConfig) -> Validation:
        """What to measure on."""
        return Validation(self.validation, config.batch_size, config.model.context_length, config.eval_batches)


def load_corpus(config: TrainConfig, tokenizer: Backend | None = None) -> Corpus:
    """Read the text and cut it, with the tokenizer of a model if there is one.

    Else merges are learned from the part to train on alone. The list of characters is that of the whole text: which
    characters exist tells nothing about what they say.
    """
    text = load_text(config.text)
    train, validation = split_text(text, config.validation_fraction)
    if tokenizer is not None:
        return Corpus(tokenizer, encode(tokenizer, train), encode(tokenizer, validation))
    learned_from = train if config.tokenizer == "bpe" else text
    tokenizer = make_tokenizer(config.tokenizer, learned_from, config.vocab_size)
    return Corpus(tokenizer, encode(tokenizer, train), encode(tokenizer, validation))
