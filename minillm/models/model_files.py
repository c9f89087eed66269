"""One call from a name or a path to a model that runs, and one to write a model.

open_model()                      SmolLM2-135M-Instruct, fetched once (`minillm.data.fetch`)
open_model("base")                a small model of Shakespeare that comes with minillm (models/base/)
open_model("folder/model.gguf")   any Llama in a GGUF file
open_model("folder")              any Llama in a folder with config.json, safetensors and tokenizer.json
write_model("folder", ...)        such a folder, which Transformers reads too
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tokenizers import Tokenizer as Backend

from minillm.config import Config
from minillm.data.fetch import SMOLLM2, fetch
from minillm.errors import MinillmError, ModelFileError
from minillm.models.gguf_file import read_gguf
from minillm.models.llama_folder import CONFIG, SINGLE, read_llama_folder, write_llama_folder
from minillm.models.llama_gguf import read_llama_gguf
from minillm.models.tokenizer import Tokenizer
from minillm.models.tokenizer_gguf import tokenizer_from_gguf
from minillm.models.tokenizer_json import TOKENIZER, tokenizer_from_folder, write_tokenizer

NAMED_MODELS = {"smollm2": SMOLLM2}
MODEL_FILES = (CONFIG, SINGLE, TOKENIZER)  # what `write_model` writes
SHIPPED_MODELS = {"base": Path(__file__).parent / "base"}


@dataclass(frozen=True)
class PretrainedModel:
    """What a model is, and what it knows; `params` is the tree of `minillm.config`, float32 NumPy arrays."""

    name: str
    path: Path
    config: Config
    params: dict = field(repr=False)
    tokenizer: Tokenizer = field(repr=False)


def open_model(model: str | Path = "smollm2") -> PretrainedModel:
    """Read a model: by the name of one that minillm fetches or ships, or by the path of a GGUF file or a folder.

    Raises MinillmError (which says what is possible) where there is no such model, DownloadError where it cannot be
    fetched, and ModelFileError where it cannot be read.
    """
    if isinstance(model, str) and model in NAMED_MODELS:
        return _open(model, fetch(NAMED_MODELS[model]))
    if isinstance(model, str) and model in SHIPPED_MODELS:
        return _open(model, SHIPPED_MODELS[model])
    path = Path(model)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError):
        is_folder = is_file = False
    if not is_folder and not is_file:
        names = ", ".join([*NAMED_MODELS, *SHIPPED_MODELS])
        raise MinillmError(
            f"There is no model {str(model)!r}: give one of the names ({names}), the path of a .gguf file, "
            "or the path of a folder with config.json and safetensors."
        )
    return _open(path.stem if is_file else path.resolve().name, path)


def write_model(folder: str | Path, config: Config, params: dict, tokenizer: Backend) -> None:
    """Write a model as a folder that `open_model` reads; each file appears whole, the weights last."""
    write_tokenizer(Path(folder), tokenizer)
    write_llama_folder(folder, config, params)


def _open(name: str, path: Path) -> PretrainedModel:
    """The tokenizer is built (one core, in Rust) while the weights are read."""
    with ThreadPoolExecutor(1) as pool:
        if path.is_dir():
            building = pool.submit(tokenizer_from_folder, path)
            config, params = read_llama_folder(path)
        else:
            file = read_gguf(path)
            building = pool.submit(tokenizer_from_gguf, file.metadata, path)
            config, params = read_llama_gguf(file)
        tokenizer = building.result()
    if tokenizer.vocab_size > config.vocab_size:
        raise ModelFileError(
            f"{path}: the tokenizer has {tokenizer.vocab_size} tokens, the model {config.vocab_size}; "
            "they do not belong together."
        )
    return PretrainedModel(name, path, config, params, tokenizer)
