"""Two forms of one function: a plain one to read and to check against, a fast one to run.

@faster(round_robin.perpendicular_columns)
def perpendicular_columns(matrix): ...        # the plain form; what is called is the fast one
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_plain = ContextVar("plain", default=False)


def faster(form: Callable[..., Any], when: Callable[..., bool] | None = None) -> Callable[[Function], Function]:
    """Call `form` in place of the function below, which computes the same; only where `when` of the arguments holds.

    >>> @faster(lambda x: f"fast {x}", when=lambda x: x > 2)
    ... def example(x):
    ...     return f"plain {x}"
    >>> example(2), example(3)
    ('plain 2', 'fast 3')
    """

    def decorate(plain: Function) -> Function:
        @functools.wraps(plain)
        def chosen(*args: Any, **kwargs: Any) -> Any:
            fast = not _plain.get() and (when is None or when(*args, **kwargs))
            return (form if fast else plain)(*args, **kwargs)

        return chosen  # type: ignore[return-value]

    return decorate


@contextmanager
def plain_forms() -> Iterator[None]:
    """Inside, every function is its plain form. What `jax.jit` has compiled before stays as it was.

    >>> @faster(lambda: "fast")
    ... def example():
    ...     return "plain"
    >>> with plain_forms():
    ...     example()
    'plain'
    """
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)
