"""minillm: the chapter on large language models that one can run.

Every concept exists as a NumPy reference (`<topic>/x.py`), as a jitted JAX twin (`x_jax.py`), as laws
(`x_laws.py`) and in a lesson (`lessons/`). Importing the package imports neither JAX nor anything else
that is slow.
"""

__version__ = "0.1.0"
