"""The notation: every axis letter once, the array types made of them, and the check that they hold.

    B batch            T query length     S key length       N query heads      K key/value heads
    H head_dim         D model            F feed-forward     V vocabulary       L layers
    E experts          C capacity         R rank             P prompt length

`*batch` stands for any number of leading axes, none included; `*#batch` may broadcast against it. The same
types annotate the reference and its twin, so they name no array library: `Float[Any, "T D"]` is a
floating-point array of NumPy or JAX.
"""

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, TypeVar, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from minillm.errors import InputError

Function = TypeVar("Function", bound=Callable[..., Any])

Tokens = Int[Any, "*batch T"]
Positions = Int[Any, "*batch T"]
Hidden = Float[Any, "*batch T D"]
Logits = Float[Any, "*batch V"]
Query = Float[Any, "*batch T N H"]
Key = Float[Any, "*batch S K H"]
Value = Float[Any, "*batch S K H"]
Rotation = Float[Any, "*#batch T half"]  # cosines or sines, half = H / 2
Mask = Bool[Any, "..."]  # broadcasts against scores of shape (*batch, N, T, S); True = may attend

_KINDS = {Float: ("floating-point", "f"), Int: ("integer", "iu"), Bool: ("boolean", "b")}


def checked(function: Function) -> Function:
    """Hold a function's arguments to their annotated shapes and dtypes; say in one sentence what is off.

    Only array annotations of this notation are looked at. Under `jit` the check runs while tracing, so
    it costs nothing afterwards.

    >>> @checked
    ... def scaled(x: Float[Any, "*batch D"], scale: Float[Any, "D"]):
    ...     return x * scale
    >>> scaled(np.ones((2, 3)), np.ones(4))
    Traceback (most recent call last):
    minillm.errors.InputError: scaled: scale has shape (4,), but axis D is 3 in x; make them agree.
    """
    signature = inspect.signature(function)
    specifications = {
        name: spec
        for name, parameter in signature.parameters.items()
        if (spec := _array_annotation(parameter.annotation)) is not None
    }
    names = list(signature.parameters)
    positional = [(index, name, specifications[name]) for index, name in enumerate(names) if name in specifications]

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        sizes: dict[str, tuple[Any, str]] = {}
        for index, name, (kind, dims, others) in positional:
            value = args[index] if index < len(args) else kwargs.get(name)
            if isinstance(value, others) or (name not in kwargs and index >= len(args)):
                continue
            _check_array(function.__name__, name, value, kind, dims, sizes)
        return function(*args, **kwargs)

    return wrapper  # type: ignore[return-value]


def wide(x: Any) -> Any:
    """`x` in at least float32, the precision of every sum; on both sides.

    >>> wide(np.ones(2, np.float16)).dtype, wide(np.ones(2)).dtype
    (dtype('float32'), dtype('float64'))
    """
    return x.astype(np.promote_types(x.dtype, np.float32))


def is_traced(*values: Any) -> bool:
    """Whether one is an array that `jax.jit` traces: its shape is known, but no check can look at its numbers.

    >>> is_traced(np.ones(2), 3)
    False
    """
    jax = sys.modules.get("jax")  # an array of JAX cannot exist before JAX is imported
    return jax is not None and any(isinstance(value, jax.core.Tracer) for value in values)


def _array_annotation(annotation: Any) -> tuple[Any, tuple[str, ...], tuple[type, ...]] | None:
    """(kind, axes, what else it may be) of an annotation such as Float[Any, "T D"] | None; None for others."""
    choices: tuple[Any, ...] = get_args(annotation) or (annotation,)
    for choice in choices:
        kind = getattr(choice, "dtype", None)
        if hasattr(choice, "dim_str") and kind in _KINDS:
            return kind, tuple(choice.dim_str.split()), tuple(c for c in choices if not hasattr(c, "dim_str"))
    return None


def _check_array(
    function: str, name: str, value: Any, kind: Any, dims: tuple[str, ...], sizes: dict[str, tuple[Any, str]]
) -> None:
    word, codes = _KINDS[kind]
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is None or shape is None:
        raise InputError(f"{function}: {name} is a {type(value).__name__}; give an array of {word} numbers.")
    if dtype.kind not in codes and not (kind is Float and dtype.name == "bfloat16"):
        raise InputError(f"{function}: {name} has dtype {dtype.name}; it must be {word}.")
    if dims == ("...",):
        return
    pairs = list(zip(dims, shape, strict=False))
    if dims and dims[0][0] == "*":
        extra = len(shape) - len(dims) + 1
        pairs = [(dims[0], tuple(shape[: max(extra, 0)])), *zip(dims[1:], shape[max(extra, 0) :], strict=False)]
        wrong_rank = extra < 0
    else:
        wrong_rank = len(shape) != len(dims)
    if wrong_rank:
        expected = f"({', '.join(dims)})"
        raise InputError(f"{function}: {name} has shape {tuple(shape)}; its axes are {expected}.")
    for axis, size in pairs:
        if "#" in axis:
            continue
        if axis.isdigit():
            known, source = int(axis), "its definition"
        else:
            known, source = sizes.setdefault(axis, (size, name))
        if known != size:
            raise InputError(
                f"{function}: {name} has shape {tuple(shape)}, but axis {axis.lstrip('*')} is {known} in {source}; "
                "make them agree."
            )
