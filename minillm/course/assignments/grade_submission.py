"""Grade one submission and print its report: the program that `minillm grade` starts for each."""

import argparse
import json
import sys
from pathlib import Path

from minillm.course.assignments.grading import grade_submission

MOST_MEMORY = 4 << 30  # bytes of address space


def main() -> None:
    """Read the arguments, grade, print JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("path", type=Path)
    parser.add_argument("--assignment", action="append", default=[])
    parser.add_argument("--seed", type=int)
    parser.add_argument("--user")
    parser.add_argument("--named", action="store_true")
    given = parser.parse_args()
    _limit_memory()
    graded = grade_submission(given.path, given.assignment, given.seed, given.user, given.named)
    json.dump(graded, sys.stdout, ensure_ascii=False)


def _limit_memory() -> None:
    """An answer made to blow up the grader ends in an error of this one process, not of the machine."""
    try:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, hard))
    except (ImportError, ValueError, OSError):
        return


if __name__ == "__main__":
    main()
