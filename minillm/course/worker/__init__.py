"""The process that runs a student's code. It stands alone: Python, NumPy, and no other part of minillm.

`run.py` is started as a program, with this folder as its only addition to the path; on a grading host the folder is
copied to where the other user can read it.
"""
