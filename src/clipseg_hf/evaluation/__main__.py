"""`clipseg-hf evaluate`, and for several processes `accelerate launch -m clipseg_hf.evaluation`, or torchrun."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clipseg_hf.console.commands import DEFAULT_MODEL, DeviceOption, ModelOption, hide_bars_from_files, run_module


class Benchmark(StrEnum):
    referring = "referring"
    zero_shot = "zero-shot"
    one_shot = "one-shot"
    generalized = "generalized"
    visual_prompts = "visual-prompts"


class Arithmetic(StrEnum):
    default = "default"
    clipseg = "clipseg"


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
        list[str],
        typer.Option(
            help="referring, one-shot: text, image or mix. Repeat for more.", show_default="all; one-shot: image, text"
        ),
    ] = [],  # noqa: B006
    mix: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help="referring, one-shot: the example's share beside a text, for the prompt mix.",
            show_default="the model's own",
        ),
    ] = None,
    template: Annotated[
        list[str], typer.Option(help="Sentence around a phrase, such as '{}'. Vectors of several are averaged.")
    ] = [],  # noqa: B006
    threshold: Annotated[
        list[float],
        typer.Option(
            help="To report, of 0.02, 0.04 ... 0.98; not for zero-shot, visual-prompts. Repeat for more.",
            show_default="0.3, 0.5",
        ),
    ] = [],  # noqa: B006
    unseen: Annotated[
        int | None, typer.Option(help="zero-shot: how many Pascal classes count as unseen.", show_default="10")
    ] = None,
    fold: Annotated[
        list[int], typer.Option(help="one-shot: fold that the model was trained for. Repeat for more.")
    ] = [],  # noqa: B006
    episodes: Annotated[
        str | None, typer.Option(metavar="N|FILE", help="one-shot: how many for each fold, or a published list.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images encoded at once.")] = None,
    guided_filter: Annotated[
        bool, typer.Option("--guided-filter", help="Let masks follow the images' edges; not for visual-prompts.")
    ] = False,
    arithmetic: Annotated[
        Arithmetic, typer.Option(help="clipseg is the original's; not for zero-shot, visual-prompts.")
    ] = Arithmetic.default,
    seed: Annotated[int, typer.Option(help="Of examples, absent phrases and episodes.")] = 0,
    device: DeviceOption = None,
) -> None:
    """Measure a model by one of the paper's protocols.

    Prints a table in percent. For several processes: `accelerate launch -m clipseg_hf.evaluation ...`.
    """
    from clipseg_hf.console.overrides import parse_overrides
    from clipseg_hf.evaluation import BenchmarkOptions, evaluate_model

    hide_bars_from_files()
    options = BenchmarkOptions(
        split=split,
        limit=limit,
        reader=parse_overrides(option),
        prompts=tuple(prompt) or None,
        image_prompt_weight=mix,
        templates=tuple(template) or None,
        at=tuple(threshold) or (0.3, 0.5),
        unseen=unseen,
        folds=tuple(fold) or None,
        episodes=int(episodes) if episodes and episodes.isdecimal() else episodes,
        batch_size=batch_size,
        guided_filter=guided_filter,
        arithmetic=arithmetic.value,
        seed=seed,
        progress=True,
    )
    evaluate_model(model, benchmark.value, data, output, options, device=device, echo=typer.echo)


if __name__ == "__main__":
    run_module("clipseg_hf.evaluation", evaluate)
