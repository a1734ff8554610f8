"""`clipseg-hf train`, `evaluate`, `compare` and `convert`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clipseg_hf.cli.app import app
from clipseg_hf.console.commands import hide_bars_from_files, parse_integers
from clipseg_hf.evaluation.__main__ import evaluate


class ComparedMetric(StrEnum):
    miou = "miou"
    iou_fg = "iou_fg"


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
    from clipseg_hf.console.overrides import parse_overrides
    from clipseg_hf.training import CLIPSegTrainingArguments
    from clipseg_hf.training import train as run

    result = run(CLIPSegTrainingArguments.from_yaml(recipe, parse_overrides(set)))
    typer.echo(f"The finished model is in {result.folder}.")


app.command()(evaluate)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="DIR1", help="Report of one model, by `evaluate -o DIR1`.")],
    second: Annotated[Path, typer.Argument(metavar="DIR2", help="Report of the other on the same data.")],
    prompt: Annotated[
        str | None, typer.Option(help="text, image or mix.", show_default="all that both were asked by")
    ] = None,
    threshold: Annotated[float, typer.Option(help="0.3 or 0.5.")] = 0.5,
    metric: Annotated[ComparedMetric, typer.Option(help="Mean over samples, or cumulative.")] = ComparedMetric.miou,
    subset: Annotated[str | None, typer.Option(help="Of the samples, such as unseen.", show_default="all")] = None,
    resamples: Annotated[int, typer.Option(min=1, help="Of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
) -> None:
    """Tell whether one model is better than another.

    Paired bootstrap over the images that both were asked about: the difference with its 95 % interval, in percent.
    """
    from clipseg_hf.evaluation import compare_reports

    options = {"subset": subset, "resamples": resamples, "seed": seed}
    typer.echo(compare_reports(first, second, prompt, threshold, metric.value, **options))


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
        bool, typer.Option("--decoder-only", help="Write the decoder alone, 4 MB for this package that name the CLIP.")
    ] = False,
) -> None:
    """Convert a checkpoint of the original CLIPSeg.

    The result is for this package and for transformers.
    """
    from clipseg_hf.inference.files import convert_file

    hide_bars_from_files()
    folder = convert_file(
        checkpoint, output, clip=clip, extract_layers=parse_integers(extract_layers), decoder_only=decoder_only
    )
    typer.echo(f"The model is in {folder}.")
