"""`clipseg-hf label`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clipseg_hf.cli.app import app
from clipseg_hf.console.commands import (
    DEFAULT_MODEL,
    DeviceOption,
    FillHolesOption,
    GuidedFilterOption,
    ImageLicenseOption,
    LabelFormat,
    MinAreaOption,
    ModelOption,
    ThresholdOption,
    hide_bars_from_files,
)


class Engine(StrEnum):
    processes = "processes"
    ray = "ray"


@app.command()
def label(
    data: Annotated[
        str,
        typer.Argument(metavar="DATA", help="Folder of images, data set in a folder, or name of one on the Hub."),
    ],
    prompts: Annotated[Path, typer.Option(metavar="FILE", help="What to look for, one prompt a line.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where to write, and to go on.")],
    format: Annotated[
        list[LabelFormat],
        typer.Option(help="Labels for annotation tools and training, at the end. Repeat for more."),
    ] = [],  # noqa: B006  (Typer copies it)
    model: ModelOption = DEFAULT_MODEL,
    processes: Annotated[
        int, typer.Option(min=1, help="More than 1: processes of one thread each, on this machine.")
    ] = 1,
    engine: Annotated[
        Engine, typer.Option(help="By what; ray runs --processes actors, on its cluster where there is one.")
    ] = Engine.processes,
    threshold: ThresholdOption = None,
    fill_holes: FillHolesOption = 0,
    min_area: MinAreaOption = 0,
    guided_filter: GuidedFilterOption = False,
    min_presence: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, metavar="P", help="Labels are of what is at least so present. Left out, the model's own."
        ),
    ] = None,
    column: Annotated[str, typer.Option(help="That of the images, in a data set.")] = "image",
    license: ImageLicenseOption = None,
    review: Annotated[
        int, typer.Option(min=0, metavar="N", help="Show the N least sure labels on a page, review.html.")
    ] = 0,
    shard_size: Annotated[int, typer.Option(min=1, help="Images that one process labels at a time.")] = 64,
    device: DeviceOption = None,
) -> None:
    """Label very many images; cut off, it goes on where it was.

    Writes one row for each image and prompt as Parquet: score, presence, box, COCO RLE, connected parts. An image that
    cannot be read is left out, and told at the end.
    """
    from clipseg_hf.labelling import label_pictures, read_prompt_file
    from clipseg_hf.processing.masks.guided_filter import GuidedFilter
    from clipseg_hf.processing.masks.operations import MaskOperations

    hide_bars_from_files()
    label_pictures(
        data,
        read_prompt_file(prompts),
        output,
        model=model,
        formats=[one.value for one in dict.fromkeys(format)],
        threshold=threshold,
        operations=MaskOperations(fill_holes=fill_holes, min_area=min_area),
        guided_filter=GuidedFilter() if guided_filter else None,
        min_presence=min_presence,
        column=column,
        license=license,
        review=review,
        shard_size=shard_size,
        processes=processes,
        engine=engine.value,
        device=device,
        echo=typer.echo,
    )
