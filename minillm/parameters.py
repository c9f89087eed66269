"""The matrices of a parameter tree by their paths, such as "layers.0.attention.query", as adapters name them.

Shared by both sides: nothing here computes. The matrices are those used as `x @ W`: not the embedding, not a router,
not the stacked ones of experts.
"""

from fnmatch import fnmatchcase
from typing import Any

import numpy as np  # noqa: F401  for the examples

from minillm.errors import InputError

Params = dict[str, Any]
Adapter = dict[str, dict[str, Any]]  # path -> {"lora_a", "lora_b"}

_NO_TARGETS = ("embedding", "router", "noise")


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
            return [found for name, part in tree.items() for found in walk(part, (*path, name))]
        if isinstance(tree, list):
            return [found for index, part in enumerate(tree) for found in walk(part, (*path, str(index)))]
        return [".".join(path)] if len(tree.shape) == 2 and path[-1] not in _NO_TARGETS else []

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

    def build(tree: Any, path: str) -> Any:
        if path in leaves:
            return leaves[path]
        if isinstance(tree, dict):
            return {name: build(part, f"{path}.{name}" if path else name) for name, part in tree.items()}
        if isinstance(tree, list):
            return [build(part, f"{path}.{index}") for index, part in enumerate(tree)]
        return tree

    return build(params, "")


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
