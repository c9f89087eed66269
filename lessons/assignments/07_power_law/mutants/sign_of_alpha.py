"""alpha is minus the slope: L falls as x^-alpha with alpha above 0.

Give back -slope.
"""

CHANGES = {
    "return float(FORM), float(-slope)": "return float(FORM), float(slope)",
}
