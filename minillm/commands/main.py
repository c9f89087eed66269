"""The command `minillm`. Here is only what it accepts; what it does is in `minillm.course`.

Everything slow (JAX, the lessons, the models) is imported inside the commands, so `minillm --help` is quick.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import minillm
from minillm.commands.assignments import add_student_commands, add_teacher_commands
from minillm.course.workspace import Options
from minillm.devices import Backend, Device, check_backend
from minillm.errors import MinillmError

_SETTINGS: dict[str, Any] = {"add_completion": False, "pretty_exceptions_enable": False}
app = typer.Typer(
    help="The chapter on large language models that one can run. Alone, in a folder of assignments, it watches them.",
    invoke_without_command=True,
    **_SETTINGS,
)
lessons = typer.Typer(help="Read, run and step through the lessons.", no_args_is_help=True, **_SETTINGS)
benches = typer.Typer(help="Measure how fast the models are, ours and others'.", no_args_is_help=True, **_SETTINGS)
dev = typer.Typer(
    help="For teachers: make assignments, prove them, build what is handed out.", no_args_is_help=True, **_SETTINGS
)
add_student_commands(app)
add_teacher_commands(app, dev)
app.add_typer(lessons, name="lesson")
app.add_typer(benches, name="bench")
app.add_typer(dev, name="dev")

Id = Annotated[str, typer.Argument(help="The lesson's section, like 1.0, or the path of a lesson file.")]
BackendOption = Annotated[
    Backend, typer.Option("--backend", envvar="MINILLM_BACKEND", help="NumPy to read, or JAX to be fast.")
]
DeviceOption = Annotated[
    Device | None, typer.Option("--device", envvar="MINILLM_DEVICE", help="An error if it is not there.")
]
Fast = Annotated[bool, typer.Option("--fast", envvar="MINILLM_FAST", help="Smaller samples, same rules.")]
Out = Annotated[Path, typer.Option("--out", envvar="MINILLM_OUT", help="Writes to OUT/lessons/ID.")]
Model = Annotated[str, typer.Option("--model", help="smollm2, base, a GGUF file, or a folder with safetensors.")]
MaxTokens = Annotated[int, typer.Option("--max-tokens", help="The most new tokens.")]
Temperature = Annotated[float, typer.Option("--temperature", help="0 always takes the likeliest token.")]
TopK = Annotated[int | None, typer.Option("--top-k", help="Choose among the K likeliest tokens only.")]
TopP = Annotated[float | None, typer.Option("--top-p", help="Choose among the likeliest tokens of mass P.")]
Seed = Annotated[int, typer.Option("--seed", help="The same seed gives the same text.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


@lessons.command("list")
def lesson_list() -> None:
    """Show the lessons, in the chapter's order."""
    from minillm.course.run import list_lessons

    list_lessons()


@lessons.command("run")
def lesson_run(
    id: Id,
    backend: BackendOption = "jax",
    device: DeviceOption = None,
    fast: Fast = False,
    out: Out = Path("out"),
) -> None:
    """Run a lesson and print its claims; figures and claims.json are written to its folder."""
    from minillm.course.lesson import find_lesson
    from minillm.course.run import run_lesson

    run_lesson(find_lesson(id), Options(backend, device, fast, out))


@lessons.command("step")
def lesson_step(
    id: Id,
    backend: BackendOption = "jax",
    device: DeviceOption = None,
    fast: Fast = False,
    out: Out = Path("out"),
) -> None:
    """Step through a lesson: its text, its code, what the code did. Without a terminal it does not wait."""
    from minillm.course.lesson import find_lesson
    from minillm.course.step import step_lesson

    step_lesson(find_lesson(id), Options(backend, device, fast, out))


@app.command()
def claims(
    chapter: Annotated[
        bool, typer.Option("--chapter", help="The chapter's statements, and what decides each.")
    ] = False,
    as_json: Json = False,
    out: Annotated[
        Path, typer.Option("--out", envvar="MINILLM_OUT", help="Where the lessons wrote: OUT/lessons/ID.")
    ] = Path("out"),
) -> None:
    """List the claims of all lessons with the verdicts of their last runs."""
    from minillm.commands.claims import list_claims, walk_chapter

    (walk_chapter if chapter else list_claims)(out, as_json=as_json)


@app.command()
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
    from minillm.commands import talk

    settings = talk.Settings(max_tokens, temperature, top_k, top_p, seed)
    text = talk.read_prompt(prompt)
    talk.generate(_load(model, backend, device, adapter), text, settings, chat=chat, as_json=as_json)


@app.command()
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
    from minillm.commands import talk

    settings = talk.Settings(max_tokens, temperature, top_k, top_p, seed)
    talk.chat(_load(model, backend, device), system, settings)


@app.command()
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
    from minillm.commands import talk

    question = talk.read_prompt(question, "The question")
    answers = [talk.check_text(answer, "An answer") for answer in answers]
    premise = premise and talk.check_text(premise, "The premise")
    talk.score(_load(model, backend, device), question, answers, premise, as_json=as_json)


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="A TOML file with the settings of the run.")],
    changes: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting.")] = None,
    resume: Annotated[
        bool | None, typer.Option("--resume/--fresh", help="Go on with the run in the folder, or begin it again.")
    ] = None,
) -> None:
    """Train a model from scratch; killed at any moment, it goes on with --resume."""
    from minillm.training.loop import train
    from minillm.training.settings import read_config

    train(read_config(config, changes or ()), "new" if resume is None else "resume" if resume else "fresh")


@app.command()
def finetune(
    out: Annotated[Path, typer.Argument(help="The folder of the run; its adapter or model is written there.")],
    method: Annotated[
        Literal["lora", "full"], typer.Option("--method", help="An adapter, or all parameters.")
    ] = "lora",
    model: Model = "smollm2",
    text: Annotated[str, typer.Option("--text", help="shakespeare, tinyshakespeare, or a UTF-8 file.")] = "shakespeare",
    steps: Annotated[int, typer.Option("--steps", help="How many batches to learn from.")] = 100,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Rows of a batch.")] = 4,
    context_length: Annotated[int, typer.Option("--context-length", help="Tokens of a row.")] = 128,
    rank: Annotated[int, typer.Option("--rank", help="Of an adapter.")] = 8,
    alpha: Annotated[float, typer.Option("--alpha", help="Of an adapter: its scale is alpha / rank.")] = 16.0,
    targets: Annotated[
        list[str] | None,
        typer.Option("--target", metavar="PATTERN", help="Matrices of an adapter, such as layers.*.mlp.*"),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="The highest; by default 1e-3 with lora, 1e-4 in full.")
    ] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting.")] = None,
    resume: Annotated[
        bool | None, typer.Option("--resume/--fresh", help="Go on with the run in the folder, or begin it again.")
    ] = None,
) -> None:
    """Train a trained model further, whole or by an adapter; killed at any moment, it goes on with --resume."""
    from minillm.training.loop import train
    from minillm.training.settings import changed_config

    lora = {"rank": rank, "alpha": alpha, "targets": targets or ["*"]}
    given: dict[str, Any] = {
        "out": str(out),
        "text": text,
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": (1e-3 if method == "lora" else 1e-4) if learning_rate is None else learning_rate,
        "warmup_steps": steps // 20,
        "weight_decay": 0.0,
        "eval_interval": 25,
        "eval_batches": 4,
        "checkpoint_interval": 25,
        "model": {"context_length": context_length},
        "finetune": {"base": model, "method": method, "lora": lora},
    }
    train(changed_config(given, changes or ()), "new" if resume is None else "resume" if resume else "fresh")


@app.command()
def download() -> None:
    """Fetch every file that the course uses, for a place without a network."""
    from minillm.commands.doctor import download

    download()


@app.command()
def doctor() -> None:
    """Show versions, devices and the cache, what is missing and how to get it."""
    from minillm.commands.doctor import doctor

    doctor()


@benches.command("list")
def bench_list() -> None:
    """Show the benchmarks."""
    from minillm.commands import bench

    for name, summary in bench.benchmarks().items():
        print(f"{name:12} {summary}")


@benches.command("run")
def bench_run(
    name: Annotated[str, typer.Argument(help="A name of `minillm bench list`.")],
    json: Annotated[Path | None, typer.Option("--json", help="Write the result to this file.")] = None,
    device: DeviceOption = None,
    min_time: Annotated[float, typer.Option("--min-time", help="Seconds for each row.")] = 2.0,
    quiet: Annotated[bool, typer.Option("--quiet", help="Refuse to run on a busy machine.")] = False,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="Measure peaks that no table gives.")] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="Only show that it all works.")] = False,
) -> None:
    """Run a benchmark, print its table and write its JSON."""
    from minillm.commands import bench

    options = {"device": device, "min_time": min_time, "quiet": quiet, "calibrate": calibrate, "smoke": smoke}
    raise typer.Exit(bench.run(name, json, **options))


@benches.command("record")
def bench_record(
    names: Annotated[list[str] | None, typer.Argument(help="Names of `minillm bench list`; all if none.")] = None,
    device: DeviceOption = None,
    min_time: Annotated[float, typer.Option("--min-time", help="Seconds for each row.")] = 1.0,
) -> None:
    """Run benchmarks on a quiet machine, and keep the results in benchmarks/results and in the tables of its README."""
    from minillm.commands import bench

    bench.record(names or [], device, min_time)


@benches.command("tables")
def bench_tables() -> None:
    """Write the tables of benchmarks/README.md from the newest recorded results."""
    from minillm.commands import bench

    print(bench.tables())


@benches.command("compare")
def bench_compare(
    first: Path,
    second: Path,
    cross: Annotated[bool, typer.Option("--cross", help="Compare different devices all the same.")] = False,
) -> None:
    """Compare two result files."""
    from minillm.commands import bench

    bench.compare(first, second, cross=cross)


def _version(asked: bool) -> None:
    if asked:
        print(f"minillm {minillm.__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Read the options before the command; without a command, watch the assignments here, or say what there is."""
    if context.invoked_subcommand is not None:
        return
    from minillm.course.assignments.tree import in_tree

    if not in_tree():
        print(context.get_help())
        raise typer.Exit(2)
    from minillm.course.assignments.watch import watch

    watch()


def _load(model: str | None, backend: Backend, device: Device | None, adapter: str | None = None) -> object:
    check_backend(backend, device)  # before anything is loaded
    from minillm.models.adapter_folder import adapter_base
    from minillm.models.language_model import load_model

    model = model or (adapter and adapter_base(adapter)) or "smollm2"
    return load_model(model=model, backend=backend, device=device, adapter=adapter)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and give its exit status: 0 on success, 2 for bad input, 3 for a missing device."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")  # Hangul in a pipe, on any system
    try:
        app(arguments, prog_name="minillm")
    except SystemExit as end:  # typer's own: also for wrong usage (2), Ctrl-C (130) and a closed pipe (1)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except MinillmError as error:
        print(f"minillm: {error}", file=sys.stderr)
        status = error.exit_code
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the pipe has left. Without this, Python complains once more while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = status or 1
    return status


if __name__ == "__main__":
    sys.exit(main())
