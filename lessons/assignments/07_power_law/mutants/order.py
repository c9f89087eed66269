"""The two numbers are in the wrong order.

First A (or its logarithm), then alpha.
"""

CHANGES = {
    "return float(FORM), float(-slope)": "return float(-slope), float(FORM)",
}
