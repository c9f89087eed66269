"""The commands that speak with a model: `generate`, `chat` and `score`."""

from typing import Annotated, Any

import typer

from minillm.commands.options import BackendOption, DeviceOption, Json, Model
from minillm.devices import Backend, Device, check_backend

commands = typer.Typer()

MaxTokens = Annotated[int, typer.Option("--max-tokens", help="The most new tokens.")]
Temperature = Annotated[float, typer.Option("--temperature", help="0 always takes the likeliest token.")]
TopK = Annotated[int | None, typer.Option("--top-k", help="Choose among the K likeliest tokens only.")]
TopP = Annotated[
    float | None, typer.Option("--top-p", help="Choose among the likeliest tokens, of total probability P.")
]
Seed = Annotated[int, typer.Option("--seed", help="The same seed gives the same text.")]


@commands.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="The text to continue; - reads it from standard input.")],
    max_tokens: MaxTokens = 64,
    temperature: Temperature = 0.0,
    top_k: TopK = None,
    top_p: TopP = None,
    seed: Seed = 0,
    chat: Annotated[bool, typer.Option("--chat/--raw", help="Answer a message, or continue a text.")] = False,
    as_json: Json = False,
    model: Annotated[
        str | None, typer.Option("--model", help="As elsewhere; by default the adapter's, or smollm2.")
    ] = None,
    adapter: Annotated[
        str | None, typer.Option("--adapter", help="A folder of `minillm finetune`, or of PEFT.")
    ] = None,
    backend: BackendOption = "jax",
    device: DeviceOption = None,
) -> None:
    """Continue a text."""
    from minillm.commands import conversation

    settings = conversation.Settings(max_tokens, temperature, top_k, top_p, seed)
    text = conversation.read_prompt(prompt)
    conversation.generate(_load(model, backend, device, adapter), text, settings, chat=chat, as_json=as_json)


@commands.command()
def chat(
    system: Annotated[str | None, typer.Option("--system", help="What the model is told before all else.")] = None,
    max_tokens: MaxTokens = 512,
    # What the makers of SmolLM2 recommend for a conversation.
    temperature: Temperature = 0.2,
    top_k: TopK = None,
    top_p: TopP = 0.9,
    seed: Seed = 0,
    model: Model = "smollm2",
    backend: BackendOption = "jax",
    device: DeviceOption = None,
) -> None:
    """Talk with the model; from a pipe, each line is a message."""
    from minillm.commands import conversation

    settings = conversation.Settings(max_tokens, temperature, top_k, top_p, seed)
    conversation.chat(_load(model, backend, device), system, settings)


@commands.command()
def score(
    question: Annotated[str, typer.Argument(help="The text before the answers; - reads it from standard input.")],
    answers: Annotated[list[str], typer.Argument(help="What may follow, to the letter: ' yes' ' no'.")],
    premise: Annotated[str | None, typer.Option("--premise", help="What PMI compares with.")] = None,
    as_json: Json = False,
    model: Model = "smollm2",
    backend: BackendOption = "jax",
    device: DeviceOption = None,
) -> None:
    """Say how likely each answer is after the question."""
    from minillm.commands import conversation

    question = conversation.read_prompt(question, "The question")
    answers = [conversation.check_text(answer, "An answer") for answer in answers]
    premise = premise and conversation.check_text(premise, "The premise")
    conversation.score(_load(model, backend, device), question, answers, premise, as_json=as_json)


def _load(model: str | None, backend: Backend, device: Device | None, adapter: str | None = None) -> Any:
    check_backend(backend, device)  # before anything is loaded
    from minillm.models.adapter_folder import adapter_base
    from minillm.models.language_model import load_model

    model = model or (adapter and adapter_base(adapter)) or "smollm2"
    return load_model(model=model, backend=backend, device=device, adapter=adapter)
