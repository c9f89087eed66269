"""Training: from a TOML file to a folder that `open_model` reads.

config.py and settings.py say what a run is, corpus.py what it learns from, mesh.py on which devices, step.py what
one step computes; checkpoint.py, identity.py, folder.py and metrics.py keep it; loop.py does it, progress.py shows it.
allocator.py lets a process keep the memory that its steps free: commands ask for it.

fit.py is the small loop of the lessons, for any parameters and any loss; sweep.py trains many small models with it.
"""
