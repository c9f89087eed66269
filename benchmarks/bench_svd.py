"""Singular value decompositions: a randomized one beside scikit-learn's at equal error, many small ones beside XLA's.

The randomized one is of a matrix 1024 x 768 with singular values 1, 1/2, 1/3, ..., to rank 16. Power iteration, ours
and scikit-learn's, has 10 extra test vectors and 7 iterations, scikit-learn's own choice; the Krylov form has 13 test
vectors and 4 iterations. Each error may exceed the best approximation's by a hundred-thousandth of it.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from minillm.decomposition import low_rank as reference
from minillm.decomposition.low_rank_jax import krylov_svd, randomized_svd
from minillm.decomposition.svd_jax import jacobi_svd

from .harness import Case, Options
from .torch_peer import on_host, tensors, where

ABOVE_THE_BEST = 1e-5  # relative
OVERSAMPLES, POWER_ITERATIONS, KRYLOV_ITERATIONS = 10, 7, 4


@functools.cache
def matrix(rows: int, columns: int, dtype: str = "float32") -> np.ndarray:
    """A matrix with singular values 1, 1/2, 1/3, ... and random singular vectors."""
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((size, columns)))[0] for size in (rows, columns))
    return ((left / np.arange(1, columns + 1)) @ right.T).astype(dtype)


def error_above_the_best(decomposition: Any, rows: int, columns: int, rank: int) -> np.ndarray:
    """By how much the error exceeds that of the truncated decomposition, relative to the latter."""
    u, s, vt = (np.asarray(part, np.float64) for part in decomposition)
    exact = matrix(rows, columns).astype(np.float64)
    best = np.sqrt(np.sum(1.0 / np.arange(rank + 1, columns + 1) ** 2))
    return np.maximum(np.linalg.norm(exact - (u * s) @ vt) / best - 1, 0.0)


def randomized(rows: int, columns: int, rank: int, platform: str) -> list[Case]:
    """Ours, the reference, and as peer scikit-learn's on a CPU, PyTorch's on a GPU."""
    group = f"svd/randomized_{rows}x{columns}_R{rank}"
    samples = rank + OVERSAMPLES
    test_matrix = np.random.default_rng(1).standard_normal((columns, samples), dtype=np.float32)
    common: dict[str, Any] = {
        "group": group,
        "oracle": lambda: np.ones(()),
        "oracle_name": "the best approximation's error",
        "result": lambda output: 1 + error_above_the_best(output, rows, columns, rank),
        "tolerance": ABOVE_THE_BEST,
        "flops_model": 2.0 * rows * columns * samples * (2 * POWER_ITERATIONS + 2),
        "flops_rule": "2 m n l (2 q + 2): l test vectors, q power iterations; work on l x l matrices is not counted",
    }

    def theirs() -> tuple[Callable[..., Any], tuple]:
        from sklearn.utils.extmath import randomized_svd as by_sklearn

        return (lambda a: by_sklearn(a, rank, n_oversamples=OVERSAMPLES, random_state=0)), (matrix(rows, columns),)

    def ours(a: Any, test_matrix: Any) -> Any:
        return randomized_svd(a, rank, test_matrix, POWER_ITERATIONS)

    def by_krylov(a: Any, few: Any) -> Any:
        return krylov_svd(a, rank, few, KRYLOV_ITERATIONS)

    def by_reference(a: Any, test_matrix: Any) -> Any:
        return reference.randomized_svd(a, rank, test_matrix, POWER_ITERATIONS)

    def by_torch(a: Any) -> Any:
        import torch

        u, s, v = torch.svd_lowrank(a, q=samples, niter=POWER_ITERATIONS)  # it does not truncate
        return u[:, :rank], s[:rank], v[:, :rank].mT

    arguments = matrix(rows, columns), test_matrix
    few = matrix(rows, columns), test_matrix[:, : samples // 2]
    peer = {"cpu": f"{group}/sklearn", "gpu": f"{group}/torch"}.get(platform)
    cases = [
        Case(name=f"{group}/jax", make=lambda: (jax.jit(ours), arguments), peer=peer, **common),
        Case(name=f"{group}/krylov", make=lambda: (jax.jit(by_krylov), few), peer=peer, **common),
        Case(name=f"{group}/numpy", make=lambda: (by_reference, arguments), peer=peer, on_host=True, **common),
    ]
    if platform == "cpu":
        cases.append(Case(name=peer, make=theirs, requires=("sklearn",), on_host=True, **common))
    elif platform == "gpu":
        made = {"make": lambda: (by_torch, tensors("cuda", arguments[0])), "requires": ("torch",), **where("cuda")}
        cases.append(Case(name=peer, **made, **common | {"result": lambda output: common["result"](on_host(output))}))
    return cases


def batch(count: int, rows: int, columns: int) -> list[Case]:
    """Many small matrices at once: our Jacobi, and XLA's decomposition for this device."""
    group = f"svd/batch{count}_{rows}x{columns}"
    a = np.random.default_rng(0).standard_normal((count, rows, columns), dtype=np.float32)
    common: dict[str, Any] = {
        "group": group,
        "oracle": lambda: np.linalg.svd(a.astype(np.float64), compute_uv=False),
        "oracle_name": "LAPACK float64",
        "result": lambda output: output[1],
        "items": count,
    }
    by_xla = jax.jit(functools.partial(jax.numpy.linalg.svd, full_matrices=False))
    return [
        Case(name=f"{group}/jacobi", make=lambda: (jax.jit(jacobi_svd), (a,)), peer=f"{group}/xla", **common),
        Case(name=f"{group}/xla", make=lambda: (by_xla, (a,)), **common),
    ]


def cases(options: Options) -> list[Case]:
    """One matrix and a batch; in a smoke run small ones."""
    if options.smoke:
        return [*randomized(64, 48, 4, options.platform), *batch(3, 6, 5)]
    return [*randomized(1024, 768, 16, options.platform), *batch(256, 32, 24)]
