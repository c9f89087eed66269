"""Real models: found, verified, read, and spoken to in their own tokens."""

from minillm.models.model_files import PretrainedModel, open_model
from minillm.models.tokenizer import StreamDecoder, Tokenizer

__all__ = ["PretrainedModel", "StreamDecoder", "Tokenizer", "open_model"]
