"""Adding experts, or hidden units, to a layer that is trained.

The new experts stand behind the old ones, and the router gets a column for each. Where only what is new is then
learned, the old experts stay as they are; a token is lost to them only if the router comes to prefer a new one.
A dense layer can be widened in the same way, but every token passes its new units.
"""

from typing import Any

import numpy as np

from minillm.experts.shared import Params

_AXES = {"router": 1, "noise": 1, "selection_bias": 0}  # along which the experts are counted


def add_experts(params: Params, new: Params) -> tuple[Params, Params]:
    """The layer with the experts of another one behind its own; and a tree of its form that is True at what is new.

    A shared expert, which every token passes already, is that of `params`.

    >>> from minillm.config import MoEConfig
    >>> from minillm.experts.moe import init_moe_params
    >>> old, new = (init_moe_params(MoEConfig(E), 3, 5, np.random.default_rng(0)) for E in (4, 2))
    >>> grown, is_new = add_experts(old, new)
    >>> grown["experts"]["up"].shape, is_new["router"][0].tolist()
    ((6, 3, 5), [False, False, False, False, True, True])
    """
    grown, is_new = dict(params), {}
    if "shared" in params:
        is_new["shared"] = {name: np.zeros(weight.shape, bool) for name, weight in params["shared"].items()}
    for name, axis in _AXES.items():
        if name in params:
            grown[name], is_new[name] = _joined(params[name], new[name], axis)
    pairs = {name: _joined(weight, new["experts"][name], 0) for name, weight in params["experts"].items()}
    grown["experts"] = {name: weight for name, (weight, _) in pairs.items()}
    is_new["experts"] = {name: mask for name, (_, mask) in pairs.items()}
    return grown, is_new


def widen(params: Params, new: Params) -> tuple[Params, Params]:
    """A dense layer with the hidden units of another one beside its own; and a tree that is True at what is new.

    >>> old, new = ({"up": np.ones((4, F)), "down": np.ones((F, 4))} for F in (3, 2))
    >>> wider, is_new = widen(old, new)
    >>> wider["up"].shape, wider["down"].shape, is_new["down"][:, 0].tolist()
    ((4, 5), (5, 4), [False, False, False, True, True])
    """
    pairs = {name: _joined(weight, new[name], 0 if name == "down" else 1) for name, weight in params.items()}
    return {name: weight for name, (weight, _) in pairs.items()}, {name: mask for name, (_, mask) in pairs.items()}


def _joined(old: Any, new: Any, axis: int) -> tuple[Any, Any]:
    masks = np.zeros(old.shape, bool), np.ones(new.shape, bool)
    return np.concatenate([old, new], axis), np.concatenate(masks, axis)
