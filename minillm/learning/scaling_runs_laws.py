"""Why made-up runs have no twin."""

ALONE = {"synthetic_runs": "draws its noise from a NumPy generator"}
