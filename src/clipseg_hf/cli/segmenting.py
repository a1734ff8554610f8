"""`clipseg-hf segment` and `clipseg-hf demo`."""

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


class Form(StrEnum):
    masks = "masks"
    overlay = "overlay"
    json = "json"
    heatmaps = "heatmaps"
    cutouts = "cutouts"
    soft = "soft"
    soft16 = "soft16"
    all = "all"


@app.command()
def segment(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Image files, folders or archives (.zip, .tar) of them, patterns, videos, URLs, data sets.",
        ),
    ],
    prompt: Annotated[
        list[str],
        typer.Option(
            "--prompt",
            "-p",
            metavar="TEXT",
            help='What to look for; "cat | dog - collar" makes one mask. Repeat for more.',
        ),
    ] = [],  # noqa: B006  (Typer copies it)
    image_prompt: Annotated[
        list[str], typer.Option(metavar="FILE", help="An image that shows what to look for. Repeat for more.")
    ] = [],  # noqa: B006
    mask: Annotated[
        list[str], typer.Option(metavar="FILE", help="Where that is in each --image-prompt, in the same order.")
    ] = [],  # noqa: B006
    mix: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE",
            help="Make one prompt of each --prompt and the --image-prompt at the same place: 0 is the text alone, 1 "
            "the image alone, own what the model says. Left out, they are separate prompts.",
        ),
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    threshold: ThresholdOption = None,
    semantic: Annotated[
        bool, typer.Option("--semantic", help="Give each pixel to one prompt at most: one label map for all.")
    ] = False,
    fill_holes: FillHolesOption = 0,
    min_area: MinAreaOption = 0,
    erode: Annotated[float, typer.Option(metavar="PIXELS", help="Move the border of masks inwards.")] = 0,
    dilate: Annotated[float, typer.Option(metavar="PIXELS", help="Move the border of masks outwards.")] = 0,
    feather: Annotated[float, typer.Option(metavar="PIXELS", help="Write masks with a soft border.")] = 0,
    invert: Annotated[bool, typer.Option("--invert", help="Take what is outside of the masks.")] = False,
    objects: Annotated[
        bool, typer.Option("--objects", help="List each connected part of a mask in the JSON, with a score of its own.")
    ] = False,
    tiles: Annotated[
        bool,
        typer.Option("--tiles", help="Ask large images tile by tile at the model's size, and once as a whole."),
    ] = False,
    tile_size: Annotated[
        int | None,
        typer.Option(min=16, metavar="PIXELS", help="Side of a tile, the model's input if left out; implies --tiles."),
    ] = None,
    guided_filter: GuidedFilterOption = False,
    every: Annotated[int, typer.Option(min=1, metavar="N", help="Take each N-th frame of videos.")] = 1,
    column: Annotated[str, typer.Option(help="That of the images, in a data set with columns.")] = "image",
    split: Annotated[str | None, typer.Option(help="Which part of data sets; left out, all.")] = None,
    save: Annotated[
        list[Form], typer.Option(help="What to write. Repeat for more. Left out, masks, overlay and json.")
    ] = [],  # noqa: B006
    format: Annotated[
        list[LabelFormat],
        typer.Option(help="Also write labels of all images for annotation tools and training. Repeat for more."),
    ] = [],  # noqa: B006
    license: ImageLicenseOption = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where to write.")] = Path("segmented"),
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace earlier results. Left out, images with results are skipped."),
    ] = False,
    device: DeviceOption = None,
) -> None:
    """Segment images by texts, examples, or both.

    Writes an overlay with a legend, the masks as PNG at each image's own size, and JSON with boxes, areas, scores,
    presence and COCO RLE. An image that cannot be read is skipped, and told at the end.
    """
    from clipseg_hf.inference.files import segment_files
    from clipseg_hf.inference.prompt_reading import make_prompts
    from clipseg_hf.inference.saving import DEFAULT_FORMS, FORMS
    from clipseg_hf.inference.tiling.settings import Tiling
    from clipseg_hf.processing.masks.guided_filter import GuidedFilter
    from clipseg_hf.processing.masks.operations import MaskOperations

    hide_bars_from_files()
    forms = FORMS if Form.all in save else [form.value for form in dict.fromkeys(save)] or DEFAULT_FORMS
    segment_files(
        images,
        make_prompts(prompt, image_prompt, mask, mix),
        output,
        model=model,
        threshold=threshold,
        semantic=semantic,
        operations=MaskOperations(fill_holes, min_area, erode, dilate, invert, feather),
        objects=objects,
        tiling=Tiling(tile_size) if tiles or tile_size else None,
        guided_filter=GuidedFilter() if guided_filter else None,
        every=every,
        column=column,
        split=split,
        forms=forms,
        label_formats=[one.value for one in dict.fromkeys(format)],
        license=license,
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
