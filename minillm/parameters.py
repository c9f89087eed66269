"""What each array of a parameter tree is for, told by its path, such as "layers.0.attention.query".

    matrix           used as `x @ W`: may have an adapter, and is handed to the device as its transpose
    experts          the matrices of all experts in one stack: divided over the devices that share the experts
    embedding        one row for each token
    router, noise    small matrices whose products are the router's own, in at least float32
    selection_bias   moved by the loads of a batch and not by the gradient, in float32
    vector           a norm's scale: weight decay leaves it alone

This is the one place that knows the roles by name; whoever treats one of them in a way of its own asks `role_of`.
Shared by both sides: nothing here computes.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

import numpy as np  # noqa: F401  for the examples

from minillm.errors import InputError

Params = dict[str, Any]
Adapter = dict[str, dict[str, Any]]  # path -> {"lora_a", "lora_b"}

Role = Literal["matrix", "experts", "embedding", "router", "noise", "selection_bias", "vector"]
NAMED = frozenset(get_args(Role)) - {"matrix", "vector"}  # roles that stand in the path as they are called


def role_of(path: str | Iterable[Any], shape: Sequence[int]) -> Role:
    """What the array at a path is for; the path is one of names with dots, or a key path of `jax.tree_util`.

    >>> role_of("layers.0.moe.router", (4, 2)), role_of("layers.0.mlp.up", (4, 8)), role_of("final_norm", (4,))
    ('router', 'matrix', 'vector')
    """
    named: list[Any] = [name for name in path_names(path) if name in NAMED]
    if named:
        return named[0]
    return "matrix" if len(shape) >= 2 else "vector"


def path_names(path: str | Iterable[Any]) -> list[str]:
    """The names along a path: of dictionary keys, attributes and places in a list.

    >>> path_names("layers.0.mlp.up")
    ['layers', '0', 'mlp', 'up']
    """
    if isinstance(path, str):
        return path.split(".")
    # JAX names a step by `key` in a dictionary, `name` of an attribute, `idx` in a list.
    return [str(getattr(step, "key", getattr(step, "name", getattr(step, "idx", step)))) for step in path]


def decays(leaf: Any) -> bool:
    """Whether weight decay pulls an array towards zero: all that multiply do, vectors do not. For any tree.

    >>> decays(np.ones((2, 3))), decays(np.ones(3))
    (True, False)
    """
    return len(leaf.shape) >= 2


def target_paths(params: Params, targets: tuple[str, ...]) -> list[str]:
    """The paths of the matrices that a pattern matches, in the order of the tree. Every pattern must match one.

    >>> target_paths({"layers": [{"mlp": {"up": np.ones((2, 3))}}], "head": np.ones((2, 5))}, ("layers.*",))
    ['layers.0.mlp.up']
    """
    known = linear_paths(params)
    for pattern in targets:
        if not any(fnmatchcase(path, pattern) for path in known):
            some = ", ".join(known[:3])
            raise InputError(f"LoRA: the target {pattern!r} matches no matrix; there are {some} and others like them.")
    return [path for path in known if any(fnmatchcase(path, pattern) for pattern in targets)]


def linear_paths(params: Params) -> list[str]:
    """The paths of all matrices that may have a change.

    >>> linear_paths({"embedding": np.ones((5, 2)), "layers": [{"mlp_norm": np.ones(2)}], "head": np.ones((2, 5))})
    ['head']
    """

    def walk(tree: Any, path: tuple[str, ...]) -> list[str]:
        if isinstance(tree, dict):
            return [inner for name, part in tree.items() for inner in walk(part, (*path, name))]
        if isinstance(tree, list):
            return [inner for index, part in enumerate(tree) for inner in walk(part, (*path, str(index)))]
        name = ".".join(path)
        return [name] if role_of(name, tree.shape) == "matrix" else []

    return walk(params, ())


def leaf_at(params: Params, path: str) -> Any:
    """The array at a path.

    >>> leaf_at({"layers": [{"mlp": {"up": 7}}]}, "layers.0.mlp.up")
    7
    """
    node: Any = params
    for part in path.split("."):
        node = node[int(part) if isinstance(node, list) else part]
    return node


def replace_leaves(params: Params, leaves: dict[str, Any]) -> Params:
    """The same tree with other things at some paths; what does not change is shared, not copied.

    >>> replace_leaves({"layers": [{"up": 1, "down": 2}]}, {"layers.0.up": 3})
    {'layers': [{'up': 3, 'down': 2}]}
    """
    return _replaced(params, leaves, "")


def _replaced(tree: Any, leaves: dict[str, Any], path: str) -> Any:
    """A function of its own: one inside the other would refer to itself, and keep the leaves until a collection."""
    if path in leaves:
        return leaves[path]
    if isinstance(tree, dict):
        return {name: _replaced(part, leaves, f"{path}.{name}" if path else name) for name, part in tree.items()}
    if isinstance(tree, list):
        return [_replaced(part, leaves, f"{path}.{index}") for index, part in enumerate(tree)]
    return tree


def check_adapter(params: Params, adapter: Adapter) -> None:
    """Refuse an adapter made for another model.

    >>> adapter = {"head": {"lora_a": np.ones((3, 1)), "lora_b": np.ones((1, 2))}}
    >>> check_adapter({"head": np.zeros((1, 2))}, adapter)
    Traceback (most recent call last):
    minillm.errors.InputError: LoRA: the adapter is of another model: it changes head from 3 to 2, here a matrix (1, 2).
    """
    known = set(linear_paths(params))
    for path, pair in adapter.items():
        if path not in known:
            raise InputError(f"LoRA: the adapter is of another model: it changes {path}, and here is no such matrix.")
        shape, (d_in, rank), (rank_b, d_out) = leaf_at(params, path).shape, pair["lora_a"].shape, pair["lora_b"].shape
        if (d_in, d_out) != tuple(shape):
            raise InputError(
                f"LoRA: the adapter is of another model: it changes {path} from {d_in} to {d_out}, here a matrix "
                f"{tuple(shape)}."
            )
        if rank != rank_b:
            raise InputError(
                f"LoRA: the adapter's {path} has lora_a of rank {rank}, lora_b of {rank_b}; it is damaged."
            )
