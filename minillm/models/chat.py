"""Chat templates: small Jinja2 programs that come with a model and turn a conversation into text.

A template is code from whoever made the file; `minillm.models.chat_sandbox` is where it runs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import TemplateError

from minillm.errors import InputError, ModelFileError
from minillm.models.chat_sandbox import Budget, Pricing, RefusedError, Sandbox

MAX_TEMPLATE = 200_000  # characters; the longest in use have about 20,000


def render_chat(
    template: str,
    messages: Sequence[Mapping[str, str]],
    add_generation_prompt: bool,
    special_tokens: Mapping[str, str],
    path: Path,
) -> str:
    """The text of a conversation.

    Raises InputError for messages that are none, or that the template itself refuses, and ModelFileError for a template
    that is broken or hostile; `path` is for that sentence.
    """
    messages = [_checked_message(number, message) for number, message in enumerate(messages)]
    if not messages:
        raise InputError("There are no messages; give at least one with a role and a content.")
    if len(template) > MAX_TEMPLATE:
        raise ModelFileError(f"{path}: the chat template has {len(template)} characters; no real one is that long.")
    try:
        sandbox = Sandbox(Budget())
        tree = Pricing().visit(sandbox.parse(template)).set_environment(sandbox)
        compiled = sandbox.template_class.from_code(sandbox, sandbox.compile(tree), sandbox.make_globals(None))
        return "".join(
            compiled.generate(messages=messages, add_generation_prompt=add_generation_prompt, **special_tokens)
        )
    except RefusedError as error:
        raise InputError(f"The model's chat template refuses these messages: {error}") from error
    except TemplateError as error:
        raise ModelFileError(f"{path}: the model's chat template cannot be used: {error}") from error
    except Exception as error:  # a template can fail in every way that Python can
        what = str(error) or type(error).__name__
        raise ModelFileError(f"{path}: the model's chat template fails: {what[:200]}") from error


def _checked_message(number: int, message: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(message, Mapping) or not all(isinstance(message.get(key), str) for key in ("role", "content")):
        raise InputError(
            f"Message {number} must be a dict with the strings 'role' and 'content'; it is {repr(message)[:80]}."
        )
    return dict(message)
