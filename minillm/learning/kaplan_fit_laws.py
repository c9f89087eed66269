"""Why fitting Kaplan's law has no twin."""

ALONE = {"fit_kaplan": "a descent of many steps from a handful of runs: nothing to compile"}
