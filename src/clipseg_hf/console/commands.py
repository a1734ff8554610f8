"""Commands: how their errors end, and options of the same meaning."""

import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer
from typer.core import TyperGroup

from clipseg_hf._version import __version__

DEFAULT_MODEL = "CIDAS/clipseg-rd64-refined"
USER_ERRORS = (ValueError, TypeError, OSError, ImportError)
_UsageError = typer.BadParameter.__base__  # click's, wherever this version of Typer keeps it


class LabelFormat(StrEnum):
    """`clipseg_hf.labels.LABEL_FORMATS`, which would import much."""

    coco = "coco"
    yolo = "yolo"
    labelme = "labelme"
    label_studio = "label_studio"
    cvat = "cvat"
    index_masks = "index_masks"
    geojson = "geojson"


class Commands(TyperGroup):
    """Errors that a user can mend end with their message and exit code 2; `--debug`, anywhere, shows their origin."""

    def parse_args(self, ctx, args: list[str]) -> list[str]:
        own = args[: args.index("--")] if "--" in args else args
        debug = ["--debug"] if "--debug" in own else []
        rest = [argument for argument in own if argument != "--debug"] + args[len(own) :]
        try:
            return super().parse_args(ctx, debug + rest)
        except _UsageError as error:
            _fail(_say(error))

    def invoke(self, ctx):
        debug = ctx.params.get("debug", False)
        try:
            return super().invoke(ctx)
        except _UsageError as error:
            _fail(_say(error))
        except Exception as error:
            if debug or not (isinstance(error, USER_ERRORS) or type(error).__module__.startswith("clipseg_hf.")):
                raise
            _fail(str(error) or type(error).__name__)


def _say(error: Exception) -> str:
    command = error.ctx.command_path if error.ctx else "clipseg-hf"
    message = " ".join(error.format_message().split())
    return f"{message}{'' if message.endswith(('.', '?', ')')) else '.'} See `{command} --help`."


def _fail(message: str) -> None:
    lines = [line.rstrip() for line in message.strip().splitlines() if line.strip()]
    typer.echo("\n".join([f"error: {lines[0]}", *lines[1:]]), err=True)
    raise typer.Exit(2)


def new_app(help: str | None = None) -> typer.Typer:
    """An empty command line, which knows --debug and --version."""
    app = typer.Typer(
        cls=Commands,
        help=help,
        no_args_is_help=True,
        context_settings={"default_map": {"help": False}},  # without it, Typer loads pydantic to make False of None
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_options)
    return app


def run_module(name: str, command: Callable[..., None]) -> None:
    """`python -m NAME`: one command of the command line, as the program of a launcher for several processes."""
    app = new_app()
    app.command(name)(command)
    app([name, *sys.argv[1:]], prog_name="python -m")


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"clipseg-hf {__version__}")
        raise typer.Exit


def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


ModelOption = Annotated[
    str, typer.Option("--model", metavar="NAME", help="Folder, name on the Hub, or emoji-tiny, which is built in.")
]
ThresholdOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        metavar="P",
        help="Probability above which a pixel belongs to a mask. Left out, the model's own.",
    ),
]
FillHolesOption = Annotated[
    float, typer.Option(metavar="AREA", help="Fill holes up to this many pixels, or (below 1) share of the image.")
]
MinAreaOption = Annotated[
    float, typer.Option(metavar="AREA", help="Drop parts of masks below this many pixels, or share of the image.")
]
GuidedFilterOption = Annotated[
    bool,
    typer.Option("--guided-filter", help="Let borders follow the image's edges; for models without a refiner."),
]
ImageLicenseOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="License of the images, for the labels that say it.")
]
DeviceOption = Annotated[
    str | None, typer.Option(help="Such as cpu, cuda or mps; a GPU where there is one.", show_default=False)
]


def hide_bars_from_files() -> None:
    """transformers draws its bars into logs, too."""
    from transformers.utils import logging

    if not sys.stderr.isatty():
        logging.disable_progress_bar()


def parse_integers(text: str) -> tuple[int, ...]:
    """An option's whole numbers with commas between them."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no list of whole numbers such as 3,6,9.") from None
