"""The form of weights that no one changes: a matrix kept as its transpose.

Decoding one token multiplies one row by every matrix, so it goes as fast as memory is read. A CPU reads a
matrix-vector product fastest when the numbers of one output lie together, which is the transposed matrix:
with it a step of SmolLM2 took 0.86 of the time (benchmarks/notes.md). So model files have it, and a frozen base that
stays in that form is not copied. `transpose_weights` gives it to a parameter tree; every twin takes either.
"""

from dataclasses import dataclass
from typing import Any

import jax
from jaxtyping import Float

from minillm.parameters import role_of


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Transposed:
    """A matrix (d_in, d_out), kept as its transpose: `rows[j]` are the weights of output j; for `x @ W` and `W.T`."""

    rows: Float[Any, "d_out d_in"]

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of the matrix it stands for."""
        return self.rows.shape[1], self.rows.shape[0]

    @property
    def dtype(self) -> Any:
        """The dtype of its numbers."""
        return self.rows.dtype

    @property
    def T(self) -> Float[Any, "d_out d_in"]:
        """The transpose, which is what is kept."""
        return self.rows

    def __rmatmul__(self, x: Float[Any, "*batch d_in"]) -> Float[Any, "*batch d_out"]:
        """`x @ W`; of a single row on a CPU, a matrix-vector product that reads each output's weights in one run."""
        if x.size == x.shape[-1] and jax.default_backend() == "cpu":
            # Keep XLA:CPU from recomputing x's producer for every output row, which a fused product does.
            row = jax.lax.optimization_barrier(x.reshape(-1))
            return (self.rows @ row).reshape(*x.shape[:-1], -1)
        return (x.reshape(-1, x.shape[-1]) @ self.rows.T).reshape(*x.shape[:-1], -1)


def transpose_weights(params: Any) -> Any:
    """The same tree with every array of the role "matrix" (`minillm.parameters`) in the form `Transposed`."""

    def transposed(path: Any, leaf: Any) -> Any:
        return Transposed(leaf.T) if role_of(path, leaf.shape) == "matrix" else leaf

    return jax.tree_util.tree_map_with_path(transposed, params)
