"""Settings that every test shares."""

import contextlib
import os
import signal
import threading

import hypothesis
import jax
import numpy as np
import platformdirs
import pytest

# Programs that XLA has compiled, kept in the user's cache: all workers, the processes that tests start, and the next
# run share them. JAX names each by what it was made of, its own version and its flags included.
COMPILED = platformdirs.user_cache_path("minillm") / "tests" / "compiled"
MOST_COMPILED = 10**9  # bytes; where a run begins with more, those go that were not used for longest
for name, value in {
    "jax_compilation_cache_dir": str(COMPILED),
    "jax_persistent_cache_min_compile_time_secs": "0",
    "jax_persistent_cache_min_entry_size_bytes": "-1",
}.items():
    given = os.environ.setdefault(name.upper(), value)
    jax.config.update(name, given if name.endswith("dir") else int(given))

# A test runs a program once, so LLVM is not asked to make it fast: a sixth of the comparer of twins took a quarter
# less processor time so. Where XLA_FLAGS is set it stays; `.ci/run` has the extras' tests compiled as users have it.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_default_matmul_precision", "highest")

# Derandomised, so that a run can be repeated; without deadlines, since the first call of a shape compiles.
_COMMON = {"derandomize": True, "database": None, "deadline": None, "print_blob": True}
hypothesis.settings.register_profile("default", max_examples=25, **_COMMON)
hypothesis.settings.register_profile("few", max_examples=5, **_COMMON)
hypothesis.settings.register_profile("thorough", max_examples=300, **_COMMON)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_configure(config):
    """What a run begins with: room in the cache, and Ctrl-C.

    A shell that starts a command in the background has it ignore SIGINT, and its children inherit that; but tests
    interrupt their children and wait for them to end.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        _make_room()


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Several workers begin with a half of the files each, so that a file's programs are compiled once, and share."""
    if getattr(config.option, "numprocesses", None) and config.option.dist == "no":
        config.option.dist = "worksteal"


def _make_room():
    used, size = [], 0
    for path in COMPILED.glob("*"):
        with contextlib.suppress(FileNotFoundError):  # another run makes room too
            status = path.stat()
            used.append((max(status.st_atime, status.st_mtime), status.st_size, path))
    for _, length, path in sorted(used, reverse=True):
        size += length
        if size > MOST_COMPILED:
            path.unlink(missing_ok=True)


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
