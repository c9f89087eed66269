"""Real models: found, verified, read, written, and spoken to in their own tokens.

Each format is read and written in one place: config.json in llama_config.py, a Llama's folder in llama_folder.py (with
llama_tensors.py, which GGUF shares), tokenizer.json in tokenizer_json.py, an adapter's folder in adapter_folder.py.
GGUF files are only read: gguf_header.py and gguf_file.py, llama_gguf.py, tokenizer_gguf.py.
"""

from minillm.models.adapter_folder import read_adapter, write_adapter
from minillm.models.model_files import PretrainedModel, open_model, write_model
from minillm.models.tokenizer import StreamDecoder, Tokenizer

__all__ = [
    "PretrainedModel",
    "StreamDecoder",
    "Tokenizer",
    "open_model",
    "read_adapter",
    "write_adapter",
    "write_model",
]
