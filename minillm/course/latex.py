r"""Formulas of a lesson's text, as a terminal can show them: `$\sum_t \log p(x_t)$` becomes ∑_t log p(x_t).

Only the symbols that the lessons use are translated; the rest stays as it is written.
"""

import re

_SYMBOLS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "varepsilon": "ε",
    "eta": "η", "theta": "θ", "lambda": "λ", "mu": "μ", "nu": "ν", "pi": "π", "rho": "ρ", "sigma": "σ",
    "tau": "τ", "phi": "φ", "varphi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "kappa": "κ",
    "xi": "ξ", "zeta": "ζ", "Gamma": "Γ", "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Sigma": "Σ",
    "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω", "sum": "∑", "prod": "∏", "int": "∫", "partial": "∂",
    "nabla": "∇", "infty": "∞", "sqrt": "√", "cdot": "·", "times": "×", "odot": "⊙", "otimes": "⊗",
    "pm": "±", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠", "approx": "≈",
    "sim": "~", "propto": "∝", "equiv": "≡", "ll": "≪", "gg": "≫", "in": "∈", "notin": "∉",
    "subset": "⊂", "cup": "∪", "cap": "∩", "forall": "∀", "exists": "∃", "to": "→", "rightarrow": "→",
    "leftarrow": "←", "Rightarrow": "⇒", "mapsto": "↦", "ldots": "...", "dots": "...", "cdots": "...",
    "mid": "|", "vert": "|", "Vert": "‖", "lVert": "‖", "rVert": "‖", "top": "ᵀ", "prime": "′",
    "langle": "⟨", "rangle": "⟩", "ell": "ℓ", "quad": "  ", "qquad": "    ", "left": "", "right": "",
    "big": "", "Big": "", "bigl": "", "bigr": "", "Bigl": "", "Bigr": "", "displaystyle": "",
    "limits": "", "nolimits": "",
}  # fmt: skip
_WRAPPERS = "mathrm|mathbf|mathbb|mathcal|mathit|boldsymbol|text|textbf|textit|operatorname|hat|bar|tilde|vec"
_DISPLAY = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
_INLINE = re.compile(r"(?<![\\$\w])\$(?!\s)([^$\n]+?)(?<![\s\\])\$(?![\d$])")
_CODE = re.compile(r"(^ *```.*?^ *```|`[^`\n]+`)", re.DOTALL | re.MULTILINE)


def legible(formula: str) -> str:
    r"""Write a LaTeX formula in plain characters.

    >>> legible(r"L = -\frac{1}{T} \sum_{t} \log p(x_t \mid x_{<t})")
    'L = -(1)/(T) ∑_t log p(x_t | x_{<t})'
    """
    text = re.sub(r"\\[,;:! ]", " ", formula.replace("\\\\", "\n").replace("&", ""))
    for _ in range(4):  # from the inside out
        text = re.sub(rf"\\(?:{_WRAPPERS})\*?\s*\{{([^{{}}]*)\}}", r"\1", text)
        text = re.sub(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"(\1)/(\2)", text)
        text = re.sub(r"\\sqrt\s*\{([^{}]*)\}", r"√(\1)", text)
        text = re.sub(r"([_^])\{(\w)\}", r"\1\2", text)
    text = re.sub(r"\\(?:begin|end)\{[^{}]*\}", "", text)
    text = re.sub(r"\\([A-Za-z]+)", lambda match: _SYMBOLS.get(match[1], match[1]), text)
    text = re.sub(r"\\([{}|%_#$])", r"\1", text)
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines())


def legible_markdown(text: str) -> str:
    r"""Show the formulas of a Markdown text as code, which the terminal leaves as it is.

    >>> legible_markdown(r"the loss $L_\theta$ costs $5")
    'the loss `L_θ` costs $5'
    """
    parts = _CODE.split(text)  # what is code already (the odd parts) stays
    for i in range(0, len(parts), 2):
        shown = _DISPLAY.sub(lambda match: f"\n```text\n{legible(match[1])}\n```\n", parts[i])
        parts[i] = _INLINE.sub(lambda match: f"`{legible(match[1])}`", shown)
    return "".join(parts)
