"""`clipseg-hf train`, `evaluate`, `compare` and `convert`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clipseg_hf.cli.app import DEFAULT_MODEL, DeviceOption, ModelOption, app, hide_bars_from_files


class Benchmark(StrEnum):
    referring = "referring"
    zero_shot = "zero-shot"
    one_shot = "one-shot"
    generalized = "generalized"
    visual_prompts = "visual-prompts"


class Arithmetic(StrEnum):
    default = "default"
    clipseg = "clipseg"


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
    from clipseg_hf.training import CLIPSegTrainingArguments, parse_overrides
    from clipseg_hf.training import train as run

    result = run(CLIPSegTrainingArguments.from_yaml(recipe, parse_overrides(set)))
    typer.echo(f"The finished model is in {result.folder}.")


@app.command()
def evaluate(
    benchmark: Annotated[Benchmark, typer.Option(metavar="NAME", help=f"One of {', '.join(Benchmark)}.")],
    data: Annotated[str, typer.Option(metavar="DIR", help="Folder of the data, in its official layout.")],
    model: ModelOption = DEFAULT_MODEL,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Write a report: JSON, table, plots, samples."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Of the data. Left out, test or val.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many images, evenly spread.")] = None,
    option: Annotated[
        list[str], typer.Option(metavar="KEY=VALUE", help="For the reader, such as ignore_index=255. Repeat for more.")
    ] = [],  # noqa: B006
    prompt: Annotated[
        list[str], typer.Option(help="referring, one-shot: text, image or mix. Repeat for more.", show_default="all")
    ] = [],  # noqa: B006
    template: Annotated[
        list[str], typer.Option(help="Sentence around a phrase, such as '{}'. Vectors of several are averaged.")
    ] = [],  # noqa: B006
    threshold: Annotated[
        list[float], typer.Option(help="To report, of 0.02, 0.04 ... 0.98. Repeat for more.", show_default="0.3, 0.5")
    ] = [],  # noqa: B006
    unseen: Annotated[int, typer.Option(help="zero-shot: how many Pascal classes count as unseen.")] = 10,
    fold: Annotated[
        list[int], typer.Option(help="one-shot: fold that the model was trained for. Repeat for more.")
    ] = [],  # noqa: B006
    episodes: Annotated[
        str | None, typer.Option(metavar="N|FILE", help="one-shot: how many for each fold, or a published list.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images encoded at once.")] = None,
    arithmetic: Annotated[Arithmetic, typer.Option(help="clipseg is the original's arithmetic.")] = Arithmetic.default,
    seed: Annotated[int, typer.Option(help="Of examples, absent phrases and episodes.")] = 0,
    device: DeviceOption = None,
) -> None:
    """Measure a model by one of the paper's protocols.

    Prints a table in percent. For several processes: `torchrun --nproc-per-node 2 -m clipseg_hf.cli evaluate ...`.
    """
    from clipseg_hf.evaluation import BenchmarkOptions
    from clipseg_hf.inference.files import evaluate_model
    from clipseg_hf.training import parse_overrides

    hide_bars_from_files()
    options = BenchmarkOptions(
        split=split,
        limit=limit,
        reader=parse_overrides(option),
        prompts=tuple(prompt) or None,
        templates=tuple(template) or None,
        at=tuple(threshold) or (0.3, 0.5),
        unseen=unseen,
        folds=tuple(fold) or None,
        episodes=int(episodes) if episodes and episodes.isdecimal() else episodes,
        batch_size=batch_size,
        arithmetic=arithmetic.value,
        seed=seed,
        progress=True,
    )
    evaluate_model(model, benchmark.value, data, output, options, device=device, echo=typer.echo)


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
        checkpoint, output, clip=clip, extract_layers=_integers(extract_layers), decoder_only=decoder_only
    )
    typer.echo(f"The model is in {folder}.")


def _integers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no list of whole numbers such as 3,6,9.") from None
