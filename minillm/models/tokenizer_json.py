"""The tokenizer in a folder: tokenizer.json, and what the files around it say of special tokens and chat."""

from pathlib import Path

from tokenizers import Tokenizer as Backend

from minillm.errors import ModelFileError
from minillm.files import whole_file
from minillm.models.json_file import read_json, read_text
from minillm.models.tokenizer import Tokenizer

TOKENIZER = "tokenizer.json"


def tokenizer_from_folder(folder: Path) -> Tokenizer:
    """The tokenizer of a folder, with its special tokens and its chat template."""
    source = folder / TOKENIZER
    text = read_text(source)
    try:
        backend = Backend.from_str(text)
    except Exception as error:
        raise ModelFileError(f"{source}: this is no tokenizer of the tokenizers library ({error}).") from error
    backend.no_truncation()
    backend.no_padding()
    settings, config, generation = (
        read_json(folder / name, default={})
        for name in ("tokenizer_config.json", "config.json", "generation_config.json")
    )
    vocab_size = backend.get_vocab_size()

    def ids_of(name: str) -> list[int]:
        token = settings.get(f"{name}_token")
        token = token.get("content") if isinstance(token, dict) else token
        by_text = [backend.token_to_id(token)] if isinstance(token, str) else []
        for source in (generation, config):
            value = source.get(f"{name}_token_id")
            by_text += value if isinstance(value, list) else [value]
        return [i for i in by_text if isinstance(i, int) and not isinstance(i, bool) and 0 <= i < vocab_size]

    bos, eos = ids_of("bos"), ids_of("eos")
    return Tokenizer(
        backend,
        path=folder,
        bos_id=bos[0] if bos else None,
        eos_id=eos[0] if eos else None,
        stop_ids=eos,
        chat_template=_folder_template(folder, settings),
    )


def write_tokenizer(folder: Path, tokenizer: Backend) -> None:
    """Write tokenizer.json, which any program with the `tokenizers` library reads."""
    with whole_file(folder / TOKENIZER) as temporary:
        temporary.write_text(tokenizer.to_str(pretty=True), encoding="utf-8", newline="\n")


def _folder_template(folder: Path, settings: dict) -> str | None:
    path = folder / "chat_template.jinja"
    if path.exists():
        return read_text(path)
    template = settings.get("chat_template")
    if isinstance(template, list):  # several, by name
        named = {item.get("name"): item.get("template") for item in template if isinstance(item, dict)}
        template = named.get("default")
    return template if isinstance(template, str) else None
