"""What runs the lessons: the lesson's own object, its claims, and the three-valued verdict.

A lesson needs these three names and nothing else of this folder:

    from minillm.course import Lesson, verdict

    lesson = Lesson("1.0")
"""

from minillm.course.claims import Claim, Claims
from minillm.course.declared import verdict
from minillm.course.verdicts import Measurement
from minillm.course.workspace import Lesson, Options

__all__ = ["Claim", "Claims", "Lesson", "Measurement", "Options", "verdict"]
