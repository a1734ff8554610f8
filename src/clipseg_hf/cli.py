"""`clipseg-hf`: every command parses its arguments and calls one function of the package.

Whatever is heavy is imported inside of the commands, so that help and errors come at once.
"""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

DEFAULT_MODEL = "CIDAS/clipseg-rd64-refined"
USER_ERRORS = (ValueError, TypeError, OSError, ImportError)
_UsageError = typer.BadParameter.__base__  # click's, wherever this version of Typer keeps it


class Commands(TyperGroup):
    """Errors that a user can mend end with one line and exit code 2; `--debug`, anywhere, shows where they are from."""

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
    message = error.format_message()
    return f"{message}{'' if message.endswith(('.', '?', ')')) else '.'} See `{command} --help`."


def _fail(message: str) -> None:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    raise typer.Exit(2)


app = typer.Typer(
    cls=Commands,
    help="CLIPSeg: segment with text, example images or both; train, measure and publish models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _options(debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False) -> None:
    pass


class Form(StrEnum):
    masks = "masks"
    overlay = "overlay"
    json = "json"
    heatmaps = "heatmaps"
    all = "all"


ModelOption = Annotated[
    str, typer.Option("--model", metavar="NAME", help="Folder, name on the Hub, or emoji-tiny, which is built in.")
]
DeviceOption = Annotated[
    str | None, typer.Option(help="Such as cpu, cuda or mps; a GPU where there is one.", show_default=False)
]


@app.command()
def segment(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Files or URLs.")],
    prompt: Annotated[
        list[str], typer.Option("--prompt", "-p", metavar="TEXT", help="What to look for. Repeat for more.")
    ] = [],  # noqa: B006  (Typer copies it)
    image_prompt: Annotated[
        list[str], typer.Option(metavar="FILE", help="An image that shows what to look for. Repeat for more.")
    ] = [],  # noqa: B006
    mask: Annotated[
        list[str], typer.Option(metavar="FILE", help="Where that is in each --image-prompt, in the same order.")
    ] = [],  # noqa: B006
    mix: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help="Make one prompt of each --prompt and the --image-prompt at the same place: 0 is the text alone, 1 "
            "the image alone. Left out, they are separate prompts.",
        ),
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="P",
            help="Probability above which a pixel belongs to a mask. Left out, the model's own.",
        ),
    ] = None,
    semantic: Annotated[
        bool, typer.Option("--semantic", help="Give each pixel to one prompt at most: one label map for all.")
    ] = False,
    save: Annotated[
        list[Form], typer.Option(help="What to write. Repeat for more. Left out, masks, overlay and json.")
    ] = [],  # noqa: B006
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where to write.")] = Path("segmented"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace earlier results. Left out, new ones get a number.")
    ] = False,
    device: DeviceOption = None,
) -> None:
    """Segment images by texts, examples, or both.

    Writes an overlay with a legend, the masks as PNG at each image's own size, and JSON with boxes, areas, scores,
    presence and COCO RLE.
    """
    from clipseg_hf.inference.files import segment_files
    from clipseg_hf.inference.prompts import make_prompts
    from clipseg_hf.inference.saving import DEFAULT_FORMS, FORMS

    _hide_bars_from_files()
    forms = FORMS if Form.all in save else [form.value for form in dict.fromkeys(save)] or DEFAULT_FORMS
    segment_files(
        images,
        make_prompts(prompt, image_prompt, mask, mix),
        output,
        model=model,
        threshold=threshold,
        semantic=semantic,
        forms=forms,
        overwrite=overwrite,
        device=device,
        echo=typer.echo,
    )


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where to write the figure.")] = Path(
        "outputs/demo"
    ),
) -> None:
    """Segment the built-in scenes; numbers and a figure.

    With the built-in checkpoint emoji-tiny. No network is needed.
    """
    from clipseg_hf.inference.demo import run_demo

    run_demo(output, echo=typer.echo)


@app.command()
def scenes(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.")],
    train: Annotated[int, typer.Option(min=0, help="Scenes to train on.")] = 20000,
    val: Annotated[int, typer.Option(min=0, help="Scenes to validate on.")] = 500,
    test: Annotated[int, typer.Option(min=0, help="Scenes to test on.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Decides what is drawn.")] = 0,
    font: Annotated[
        Path | None, typer.Option(metavar="PATH", help="NotoColorEmoji.ttf; found where systems put it.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="How many draw at a time.")] = 1,
) -> None:
    """Draw scenes of emoji with phrases and masks.

    The masks are true to the pixel, the files have the layout of PhraseCut's.
    """
    from clipseg_hf.data.emoji_files import write_scenes

    counts = write_scenes(output, train=train, val=val, test=test, seed=seed, font=font, processes=processes)
    phrases = ", ".join(f"{count} in {split}" for split, count in counts.items())
    typer.echo(f"The scenes are in {output}; phrases: {phrases}.")


@app.command()
def convert(
    checkpoint: Annotated[Path, typer.Argument(metavar="FILE", help="rd64-uni.pth or another original checkpoint.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.")],
    clip: Annotated[
        str, typer.Option(metavar="NAME", help="Folder or Hub name of its CLIP.")
    ] = "openai/clip-vit-base-patch16",
    extract_layers: Annotated[
        str, typer.Option(metavar="LAYERS", help="Of CLIP, that the decoder reads, counted from 0.")
    ] = "3,6,9",
    decoder_only: Annotated[
        bool, typer.Option("--decoder-only", help="Write the decoder alone, 4 MB that name the CLIP.")
    ] = False,
) -> None:
    """Convert a checkpoint of the original CLIPSeg.

    The result is loaded by this package and by transformers.
    """
    from clipseg_hf.inference.files import convert_file

    _hide_bars_from_files()
    folder = convert_file(
        checkpoint, output, clip=clip, extract_layers=_integers(extract_layers), decoder_only=decoder_only
    )
    typer.echo(f"The model is in {folder}.")


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.yaml", help="Such as those in examples/recipes.")],
    set: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe. Repeat for more.")
    ] = [],  # noqa: B006
) -> None:
    """Train a decoder by a recipe.

    A run that was cut off goes on from its last checkpoint. For several devices: `accelerate launch -m
    clipseg_hf.training RECIPE.yaml`.
    """
    from clipseg_hf.training import CLIPSegTrainingArguments, parse_overrides
    from clipseg_hf.training import train as run

    result = run(CLIPSegTrainingArguments.from_yaml(recipe, parse_overrides(set)))
    typer.echo(f"The finished model is in {result.folder}.")


def _hide_bars_from_files() -> None:
    """transformers draws its bars into logs, too."""
    from transformers.utils import logging

    if not sys.stderr.isatty():
        logging.disable_progress_bar()


def _integers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no list of whole numbers such as 3,6,9.") from None


def main() -> None:
    """The console script."""
    app(prog_name="clipseg-hf")


if __name__ == "__main__":
    sys.exit(main())
