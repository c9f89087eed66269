"""Twins: which functions of a concept have a JAX form, and how near the two must be.

A concept `x.py` says so in its own `x_laws.py`, and there only:

    TWINS = (Twin(rms_norm, given=vectors_and_scale, gradient=("x", "scale"), float32=2e-6),)
    ALONE = {"softmax_naive": "a form kept for teaching"}

`ALONE` excuses a public function that has no twin: of `x.py` or `x_jax.py` by its name, of another form by its place in
the topic ("fast.causal.causal_attention"). tests/house/test_twins.py finds all of it by walking: it holds every pair to
its tolerance with one comparer, and fails for a public function that is neither a twin nor excused.
"""

import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis.strategies import SearchStrategy

import minillm

SIDES = ("_vjp", "_jax", "_flax", "_laws")  # what may follow a concept's name


def as_it_is(output: Any, like: Any) -> Any:
    """An output that is unique.

    >>> as_it_is(3, like=4)
    3
    """
    return output


@dataclass(frozen=True)
class Twin:
    """A pair, and what agreement means: the largest difference over the largest value of the reference.

    `given` draws arguments. Arrays among them are float64 (or integers, booleans) and are cast to the dtype under test,
    as is `np.float64` where it stands as an argument; all else is the same for all dtypes and static.
    """

    reference: Callable[..., Any]  # the NumPy function
    given: SearchStrategy[tuple[Any, ...]]
    gradient: tuple[str, ...] = ()  # the arguments that the reference's `<name>_vjp` differentiates by, in order
    float32: float = 1e-6  # against the float64 reference, on the same float32 inputs
    float32_gradient: float | None = None  # four times that, as a gradient rounds more often
    float64: float = 1e-10
    exact: bool = False  # the outputs are booleans or integers, and equal
    batched: bool = True  # takes any leading batch axes, so that vmap must equal the batched call
    keeps_dtype: bool = True  # gives its inputs' dtype; else at least float32
    float16: bool = True  # its numbers fit into float16
    canonical: Callable[[Any, Any], Any] = as_it_is  # (output, like): `output` with the free signs that `like` fixes

    @property
    def home(self) -> str:
        """The module of the concept."""
        return self.reference.__module__

    @property
    def name(self) -> str:
        """What the function is called on both sides."""
        return self.reference.__name__

    @property
    def reference_vjp(self) -> Callable[..., Any]:
        """The NumPy function that gives the gradient as well, derived by hand."""
        return getattr(import_module(f"{self.home}_vjp"), f"{self.name}_vjp")

    @property
    def jax(self) -> Callable[..., Any]:
        """The JAX function."""
        return getattr(import_module(f"{self.home}_jax"), self.name)

    def __str__(self) -> str:
        """concept.name, as tests and messages call it."""
        return f"{self.home.rpartition('.')[2]}.{self.name}"


def laws_files() -> Iterator[ModuleType]:
    """Every `x_laws.py` that stands beside an `x.py`.

    >>> any(module.__name__ == "minillm.layers.softmax_laws" for module in laws_files())
    True
    """
    for path in sorted(Path(minillm.__file__).parent.glob("*/*_laws.py")):
        if path.with_name(f"{path.stem.removesuffix('_laws')}.py").is_file():
            yield import_module(f"minillm.{path.parent.name}.{path.stem}")


def twins() -> tuple[Twin, ...]:
    """The rows of all laws files.

    >>> "softmax.softmax" in map(str, twins())
    True
    """
    return tuple(twin for module in laws_files() for twin in getattr(module, "TWINS", ()))


def excuses() -> dict[str, str]:
    """Why a public function has no twin, by its full name; a name excuses every form of it that there is.

    >>> "minillm.layers.softmax.softmax_naive" in excuses()
    True
    """
    reasons: dict[str, str] = {}
    for module in laws_files():
        topic, concept = module.__name__.removesuffix("_laws").rsplit(".", 1)
        for name, reason in getattr(module, "ALONE", {}).items():
            file, _, function = name.rpartition(".")
            homes = [f"{topic}.{file}"] if file else [f"{topic}.{concept}", f"{topic}.{concept}_jax"]
            places = [f"{home}.{function}" for home in homes if function in public_functions(home)]
            reasons |= dict.fromkeys(places or [f"{topic}.{name}"], reason)
    return reasons


def public_functions(module: str) -> dict[str, Callable[..., Any]]:
    """The functions that a module defines and does not hide, by name; none where there is no such module.

    >>> "rms_norm" in public_functions("minillm.layers.norm")
    True
    """
    try:
        loaded = import_module(module)
    except ModuleNotFoundError:
        return {}
    return {
        name: value
        for name, value in vars(loaded).items()
        if getattr(value, "__module__", None) == module
        and not name.startswith("_")
        and callable(value)
        and not isinstance(value, type)
    }


def all_functions() -> dict[str, Callable[..., Any]]:
    """Every public function of every concept, by its full name: of the reference, its gradient, the twin, fast forms.

    Concepts are where a topic has laws or twins. Modules of Flax and kernels hold no function of their own idea, and
    `shared.py` computes nothing.

    >>> "minillm.layers.norm_vjp.rms_norm_vjp" in all_functions()
    True
    """
    functions: dict[str, Callable[..., Any]] = {}
    for topic in sorted(Path(minillm.__file__).parent.iterdir()):
        if not [*topic.glob("*_jax.py"), *topic.glob("*_laws.py")]:
            continue
        laws = {module.__name__ for module in laws_files()}
        for module in pkgutil.walk_packages([str(topic)], f"minillm.{topic.name}."):
            skipped = module.name.endswith(("_flax", "_pallas", ".shared")) or module.name in laws
            if not module.ispkg and not skipped:
                functions |= {f"{module.name}.{name}": value for name, value in public_functions(module.name).items()}
    return functions
