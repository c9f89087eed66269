"""What runs the lessons: the lesson's own object, its claims, and the rules that decide them.

A lesson needs one name of this folder, and two where a claim's rule has several parts:

    from minillm.course import Lesson, Measurement

    lesson = Lesson("1.0")
"""

from minillm.course.claims import Claim, Claims
from minillm.course.verdicts import Measurement
from minillm.course.workspace import Lesson, Options

__all__ = ["Claim", "Claims", "Lesson", "Measurement", "Options"]
