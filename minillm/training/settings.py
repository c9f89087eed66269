"""Settings from a TOML file and from flags. Nothing is executed.

    text = "shakespeare"
    tokenizer = "characters"
    out = "out/small"
    batch_size = 12
    steps = 2000

    [model]
    num_layers = 4
    model_dim = 128
    num_heads = 4
    context_length = 64

What there is, and its defaults, stands in `minillm.training.config`. `--set key=value` changes one setting: the value
is written as in TOML, and text may stand without quotes; `--set model.num_layers=2` reaches into the table.
"""

import dataclasses
import difflib
import tomllib
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from minillm.errors import InputError
from minillm.training.config import TrainConfig


def read_config(path: Path, changes: Iterable[str] = ()) -> TrainConfig:
    """The settings in a TOML file, with `key=value` changes over them."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give the path of a TOML file.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start}); convert it.") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not TOML: {error}.") from error
    return changed_config(given, changes, str(path))


def changed_config(given: dict[str, Any], changes: Iterable[str], source: str = "the settings") -> TrainConfig:
    """Settings with `key=value` changes over them."""
    for change in changes:
        _apply(given, change)
    return parse_config(given, source)


def parse_config(given: Mapping[str, Any], source: str = "the settings") -> TrainConfig:
    """Settings from a nested dict.

    >>> parse_config({"out": "o", "stepz": 3})
    Traceback (most recent call last):
    minillm.errors.InputError: the settings: there is no setting 'stepz'; did you mean 'steps'?
    """
    try:
        return _build(TrainConfig, given, "")
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def _apply(given: dict[str, Any], change: str) -> None:
    key, equals, value = change.partition("=")
    *tables, name = key.strip().split(".")
    if not equals or not name:
        raise InputError(f"--set {change}: write key=value, such as --set steps=100.")
    for table in tables:
        given = given.setdefault(table, {})
        if not isinstance(given, dict):
            raise InputError(f"--set {change}: {table!r} is no table.")
    try:
        given[name] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        given[name] = value.strip()


def _build(kind: type, given: Mapping[str, Any], prefix: str) -> Any:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for name in given:
        if name not in fields:
            raise InputError(_unknown(prefix + name, [prefix + known for known in fields]))
    for name, known in fields.items():
        missing = known.default is dataclasses.MISSING and known.default_factory is dataclasses.MISSING
        if missing and name not in given:
            raise InputError(f"{prefix}{name} is missing; give it a value.")
    return kind(**{name: _value(prefix + name, fields[name].type, value) for name, value in given.items()})


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"there is no setting {name!r}; " + (
        f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}."
    )


def _value(name: str, kind: Any, value: Any) -> Any:
    """The value where it is of the field's kind; a whole number also serves as a float."""
    kinds = get_args(kind) if get_origin(kind) is types.UnionType else (kind,)
    if get_origin(kind) is tuple:
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            raise InputError(f"{name} is {value!r}; it must be a list of texts in quotes.")
        return tuple(value)
    for table in kinds:
        if isinstance(table, type) and dataclasses.is_dataclass(table):
            if not isinstance(value, Mapping):
                raise InputError(f"{name} is {value!r}; it must be a table, [{name}].")
            return _build(table, value, f"{name}.")
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds):
        return value
    words = {int: "a whole number", float: "a number", str: "a text in quotes", bool: "true or false"}
    wanted = next(words[one] for one in kinds if one in words)
    raise InputError(f"{name} is {value!r}; it must be {wanted}.")
