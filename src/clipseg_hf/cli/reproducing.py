"""`clipseg-hf reproduce`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clipseg_hf.cli.app import app
from clipseg_hf.console.commands import hide_bars_from_files, parse_integers


class WorldName(StrEnum):
    emoji = "emoji"
    phrasecut = "phrasecut"


@app.command()
def reproduce(
    world: Annotated[
        WorldName | None, typer.Argument(metavar="DATA", help="emoji (offline), or phrasecut (the real data).")
    ] = None,
    data: Annotated[WorldName | None, typer.Option(metavar="DATA", help="The same as an option.")] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Tables, plots and, in work/, all that led to them.")
    ] = Path("reproduction"),
    only: Annotated[
        list[str], typer.Option(metavar="TABLE,...", help="Some of the tables; referring, ablation and so on.")
    ] = [],  # noqa: B006
    quick: Annotated[bool, typer.Option("--quick", help="A few steps, to see that it works.")] = False,
    root: Annotated[
        Path, typer.Option(metavar="DIR", help="phrasecut: folder with VGPhraseCut_v0, VOCdevkit and lvis.")
    ] = Path("data"),
    seeds: Annotated[
        str, typer.Option(metavar="N,...", help="Train every variant with each of these seeds, for the spread.")
    ] = "0",
    set: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe of all trainings.")
    ] = [],  # noqa: B006
) -> None:
    """Make the paper's tables: train the variants, measure them.

    Goes on where it was cut off, and adds seeds and tables to what is there. On the emoji world a seed takes two CPU
    cores less than two hours.
    """
    from clipseg_hf.console.overrides import parse_overrides
    from clipseg_hf.reproduction.reproduce import reproduce as run

    hide_bars_from_files()
    if world and data and world != data:
        raise typer.BadParameter(f"DATA is {world.value} and --data is {data.value}; give one of them.")
    names = [name.strip() for given in only for name in given.split(",") if name.strip()]
    chosen = world or data
    if chosen is None:
        raise typer.BadParameter("What is it reproduced on? Give DATA: emoji (offline), or phrasecut (the real data).")
    numbers, overrides = parse_integers(seeds), parse_overrides(set)
    run(chosen.value, output, only=names, quick=quick, root=root, seeds=numbers, overrides=overrides, echo=typer.echo)
