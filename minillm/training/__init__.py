"""Training: from a TOML file to a folder that `open_model` reads.

config.py and settings.py say what a run is, corpus.py what it learns from, mesh.py on which devices, step.py what
one step computes, in memory that allocator.py keeps; checkpoint.py, identity.py, folder.py and metrics.py keep it;
loop.py does it, progress.py shows it, export.py writes the model. sweep.py trains many small models for a lesson.

Importing it sets the process's memory (allocator.py), which has to happen before JAX starts its threads.
"""

from minillm.training.allocator import keep_freed_memory

keep_freed_memory()
