"""Real models: found, verified, read, and spoken to in their own tokens."""

from minillm.pretrained.model_files import PretrainedModel, open_model
from minillm.pretrained.tokenizer import StreamDecoder, Tokenizer

__all__ = ["PretrainedModel", "StreamDecoder", "Tokenizer", "open_model"]
