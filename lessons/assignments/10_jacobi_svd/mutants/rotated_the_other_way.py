"""The sign of the angle is wrong: the product of the columns grows instead of vanishing.

zeta = (beta - alpha) / (2 gamma).
"""

CHANGES = {
    "zeta = (beta - alpha) / (2 * gamma)": "zeta = (alpha - beta) / (2 * gamma)",
}
