"""alpha is minus the slope: L falls as x^-alpha with alpha above 0.

Return -slope.
"""

CHANGES = {
    "return float(FORM), float(-slope)": "return float(FORM), float(slope)",
}
