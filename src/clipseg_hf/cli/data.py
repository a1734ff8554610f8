"""`clipseg-hf scenes`."""

from pathlib import Path
from typing import Annotated

import typer

from clipseg_hf.cli.app import app


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
