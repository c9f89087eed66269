"""minillm: the chapter on large language models that one can run.

Every concept exists as a NumPy reference (`minillm.reference`), as a jitted JAX twin
(`minillm.accelerated`), as laws (`tests/`) and as a lesson (`lessons/`). Importing the package imports
neither JAX nor anything else that is slow.
"""

__version__ = "0.1.0"
