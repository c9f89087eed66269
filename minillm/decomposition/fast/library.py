"""XLA's own decomposition of each platform: LAPACK, cuSOLVER, on TPU polar decompositions.

Of one large matrix it is faster than Jacobi's rotations on every device measured (`minillm bench run svd`); tiny
singular values of badly scaled matrices it finds less well.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from minillm.axes import wide
from minillm.decomposition.shared import SVD, Matrices, check_finite
from minillm.decomposition.svd_gradient_jax import with_svd_gradient


def svd(matrix: Matrices) -> SVD:
    """As the plain `jacobi_svd`, with its gradient."""
    check_finite(matrix)
    return _svd(matrix, None)


@with_svd_gradient
@partial(jax.jit, static_argnums=1)
def _svd(matrix: Matrices, _: Any) -> SVD:
    return SVD(*(part.astype(matrix.dtype) for part in jnp.linalg.svd(wide(matrix), full_matrices=False)))
