"""Settings that every test shares."""

import os

import hypothesis
import jax
import numpy as np
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_default_matmul_precision", "highest")

# Derandomised, so that a run can be repeated; without deadlines, since the first call of a shape compiles.
_COMMON = {"derandomize": True, "database": None, "deadline": None, "print_blob": True}
hypothesis.settings.register_profile("default", max_examples=25, **_COMMON)
hypothesis.settings.register_profile("few", max_examples=5, **_COMMON)
hypothesis.settings.register_profile("thorough", max_examples=300, **_COMMON)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(autouse=True)
def _no_silent_numerics():
    """A division by zero or an overflow in the reference is an error, not a warning nobody reads."""
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        yield


_COMPILED = [0]  # functions compiled since JAX last let its own go


def _count_compiled(event, _seconds, **_):
    _COMPILED[0] += event == "/jax/core/compile/backend_compile_duration"


jax.monitoring.register_event_duration_secs_listener(_count_compiled)


@pytest.fixture(autouse=True)
def _few_compiled_functions_at_once():
    """A compiled function holds some fourteen memory maps; beyond the 65,530 that Linux allows, XLA crashes."""
    yield
    if _COMPILED[0] > 1000:
        jax.clear_caches()
        _COMPILED[0] = 0


@pytest.fixture(scope="session")
def smollm2():
    """The real model's files; skipped, by name, where they are neither cached nor to be fetched."""
    from minillm.errors import DownloadError
    from minillm.models.model_files import open_model

    try:
        return open_model("smollm2")
    except DownloadError as error:
        pytest.skip(f"SmolLM2 is not here: {error}")
