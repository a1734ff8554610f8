"""`clipseg-hf scenes`, `inspect` and `relabel`."""

from pathlib import Path
from typing import Annotated

import typer

from clipseg_hf._counted import counted
from clipseg_hf.cli.app import app
from clipseg_hf.console.commands import LabelFormat


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
    from clipseg_hf.data.emoji_world.emoji_files import write_scenes

    counts = write_scenes(output, train=train, val=val, test=test, seed=seed, font=font, processes=processes)
    phrases = ", ".join(f"{count} in {split}" for split, count in counts.items())
    typer.echo(f"The scenes are in {output}; phrases: {phrases}.")


@app.command()
def inspect(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Folder, file, or name on the Hub.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where to draw some images with their masks.")
    ] = Path("inspection.png"),
    split: Annotated[str | None, typer.Option(help="Left out, all.")] = None,
    kind: Annotated[str | None, typer.Option(help="The layout, where it is not recognised.")] = None,
    option: Annotated[
        list[str], typer.Option(metavar="KEY=VALUE", help="For the reader, such as ignore_index=255. Repeat for more.")
    ] = [],  # noqa: B006
    quick: Annotated[bool, typer.Option("--quick", help="Do not decode every image in search of broken ones.")] = False,
    processes: Annotated[int, typer.Option(min=1, help="How many read at a time.")] = 1,
) -> None:
    """Look at a data set before training on it.

    Recognises PhraseCut, COCO, Pascal VOC, YOLO, LabelMe, Label Studio, CVAT, FiftyOne, RefCOCO, ReasonSeg, images
    with metadata.jsonl, folders of masks, and data sets with columns; prints what is in it, and what is wrong with it.
    """
    from clipseg_hf.console.overrides import parse_overrides
    from clipseg_hf.data.inspection import inspect_data

    chosen = parse_overrides(option) | ({} if kind is None else {"kind": kind})
    num_proc = processes if processes > 1 else None
    typer.echo(inspect_data(data, output, split=split, check_images=not quick, num_proc=num_proc, **chosen))


@app.command()
def relabel(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Folder, file, or name on the Hub.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="A new folder.")],
    format: Annotated[LabelFormat, typer.Option(help="What to write.")] = LabelFormat.coco,
    split: Annotated[str, typer.Option(help="Which part of the data.")] = "train",
    kind: Annotated[str | None, typer.Option(help="The layout, where it is not recognised.")] = None,
    option: Annotated[
        list[str], typer.Option(metavar="KEY=VALUE", help="For the reader, such as ignore_index=255. Repeat for more.")
    ] = [],  # noqa: B006
    license: Annotated[str | None, typer.Option(metavar="NAME", help="License of the images.")] = None,
) -> None:
    """Write a data set anew, in the format of another tool.

    Reads all that inspect reads. Each connected part of a mask is a thing of its own; images are copied.
    """
    from clipseg_hf._output_files import refuse_filled
    from clipseg_hf.console.overrides import parse_overrides
    from clipseg_hf.data.sources import load_segmentation_dataset
    from clipseg_hf.labels import labelled_rows, write_labels

    refuse_filled(output)  # before the data are read
    chosen = parse_overrides(option) | ({} if kind is None else {"kind": kind})
    rows = load_segmentation_dataset(data, split, **chosen)
    count = write_labels(labelled_rows(rows), output, format.value, license=license)
    typer.echo(f"Labels of {counted(count, 'image')} as {format.value} are in {output}.")
