"""Where a chat template runs: Jinja's sandbox, on a budget.

The sandbox alone (no underscore attributes, no files, nothing modified) does not stop a template from looping for days
or from doubling a string forty times. Here every loop step, call, filter, concatenation and printed value is paid for
beforehand from a `Budget` of characters and seconds, and what cannot be priced (padding to a width, powers) is refused.
"""

import functools
import json
import time
from collections.abc import Mapping
from datetime import datetime

from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

MAX_CHARACTERS = 5_000_000  # that a rendering may handle, in pieces and as a whole
MAX_SECONDS = 2.0

FILTERS = frozenset(
    """abs attr capitalize count d default dictsort first float int items last length list lower map max min reject
    rejectattr reverse round safe select selectattr sort string title trim unique upper""".split()  # noqa: SIM905
)
FILTERS_OF_TEXT = frozenset(("capitalize", "lower", "safe", "string", "title", "trim", "upper"))  # they call str()
METHODS_REFUSED = frozenset(("center", "ljust", "rjust", "zfill", "expandtabs", "translate", "encode", "join"))


class RefusedError(Exception):
    """What `raise_exception` raises in a template: these messages do not suit the model."""


class Budget:
    """What is left of characters and time."""

    def __init__(self):
        """The whole budget; time runs from now."""
        self.characters = MAX_CHARACTERS
        self.end = time.monotonic() + MAX_SECONDS

    def pay(self, characters: int = 1) -> str:
        """Take some characters off the budget; SecurityError where it is spent. Gives "", for use in a template."""
        self.characters -= characters
        if self.characters < 0:
            raise SecurityError(f"it makes more than {MAX_CHARACTERS} characters")
        if time.monotonic() > self.end:
            raise SecurityError(f"it runs for more than {MAX_SECONDS:g} seconds")
        return ""

    def pay_for_text(self, value: object) -> None:
        """The price of `str(value)`, known without making it: nested lists can be exponentially long."""
        if isinstance(value, Mapping):
            value = [*value.keys(), *value.values()]
        if isinstance(value, (list, tuple, set)):
            self.pay(len(value))
            for item in value:
                self.pay_for_text(item)
        else:
            self.pay(len(value) if isinstance(value, str) else 20)


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, where everything that can grow is paid for from one budget."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self, budget: Budget):
        """An environment for one rendering, as chat templates expect it."""
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
        self.budget = budget
        self.finalize = self._finalize
        self.globals = {
            "range": self.globals["range"],
            "namespace": Namespace,
            "dict": dict,
            "raise_exception": _refuse,
            "strftime_now": _strftime_now,
        }
        self.filters = {name: self._paying(name, f) for name, f in self.filters.items() if name in FILTERS}
        self.filters |= {"join": self._join, "replace": self._replace, "tojson": self._to_json}

    def _paying(self, name: str, function):
        """A filter that pays for the length of what it is given."""

        @functools.wraps(function)  # keeps the mark by which Jinja knows what to pass first
        def paying(*args, **kwargs):
            self.budget.pay()
            for value in args:
                if name in FILTERS_OF_TEXT:
                    self.budget.pay_for_text(value)
                elif hasattr(value, "__len__"):
                    self.budget.pay(len(value))
            return function(*args, **kwargs)

        return paying

    def _join(self, value, separator: str = "", attribute=None) -> str:
        parts = [part if attribute is None else self.getitem(part, attribute) for part in value]
        self.budget.pay(len(parts) * len(separator))
        return separator.join([self.concatenate(part) for part in parts])

    def _replace(self, text: str, old: str, new: str, count: int = -1) -> str:
        self.budget.pay(len(text) + text.count(old) * len(new))
        return text.replace(old, new, count)

    def _to_json(self, value: object, indent: int | None = None) -> str:
        """As Transformers writes it: letters of every script as themselves, and no HTML escapes."""
        self.budget.pay_for_text(value)
        return json.dumps(value, ensure_ascii=False, indent=None if indent is None else min(indent, 16))

    def tick(self, characters: int) -> str:
        """The price of a loop's step."""
        return self.budget.pay(characters)

    def concatenate(self, *parts: object) -> str:
        """What `a ~ b` becomes."""
        for part in parts:
            self.budget.pay_for_text(part)
        return "".join(map(str, parts))

    def _finalize(self, value: object) -> object:
        self.budget.pay_for_text(value)
        return value

    def call_binop(self, context, operator, left, right):
        """An operator whose result can be far larger than its operands."""
        numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
        if numbers and max(abs(left), abs(right)) < 2**64 and operator != "**":
            return super().call_binop(context, operator, left, right)
        if operator == "+" and isinstance(left, (str, list, tuple)):
            self.budget.pay(len(left) + len(right))
            return super().call_binop(context, operator, left, right)
        if operator == "*" and not numbers:
            text, times = (right, left) if isinstance(left, int) else (left, right)
            self.budget.pay(max(0, times) * len(text))
            return super().call_binop(context, operator, left, right)
        raise SecurityError(f"it uses {operator} on a {type(left).__name__}, which a template does not need")

    def is_safe_attribute(self, obj, attr, value) -> bool:
        """As Jinja has it, less the methods that make long strings from short ones."""
        if isinstance(obj, (int, float, bytes)) or (isinstance(obj, str) and attr in METHODS_REFUSED):
            return False
        return super().is_safe_attribute(obj, attr, value)

    def unsafe_undefined(self, obj, attribute):
        """Stop at once, where Jinja would let the template go on with an empty value."""
        raise SecurityError(f"it asks for {attribute!r} of a {type(obj).__name__}, which is not safe")

    def wrap_str_format(self, value):
        """Refuse str.format: "{:999999999}" is a short string."""
        if super().wrap_str_format(value) is not None:
            raise SecurityError("it formats a string to a width of its choice")

    def call(__self, __context, __obj, *args, **kwargs):
        """Every call that a template makes."""
        __self.budget.pay()
        if getattr(__obj, "__name__", "") == "replace" and isinstance(getattr(__obj, "__self__", None), str):
            return __self._replace(__obj.__self__, *args)
        return super().call(__context, __obj, *args, **kwargs)


class Pricing(NodeTransformer):
    """Make every loop step and macro call pay for its constant text, and every `a ~ b` for its length."""

    def _pay_first(self, node):
        constants = [data.data for data in node.find_all(nodes.TemplateData)]
        constants += [const.value for const in node.find_all(nodes.Const) if isinstance(const.value, str)]
        node = self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_ask("tick", [nodes.Const(1 + sum(map(len, constants)))])))
        return node

    visit_For = visit_Macro = visit_CallBlock = _pay_first

    def visit_Concat(self, node):
        """Replace the operator by a call."""
        return _ask("concatenate", self.generic_visit(node).nodes)


def _ask(method: str, arguments: list) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(method), arguments, [], None, None)


def _refuse(message: str) -> None:
    raise RefusedError(str(message)[:200])


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form[:100])
