"""`clipseg-hf export`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clipseg_hf.cli.app import app
from clipseg_hf.console.commands import hide_bars_from_files


class Format(StrEnum):
    onnx = "onnx"


@app.command()
def export(
    format: Annotated[Format, typer.Argument(metavar="FORMAT", help="onnx.")],
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder, name on the Hub, or emoji-tiny.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.")],
) -> None:
    """Export a model to run without torch, in a browser or in Node.

    Writes one ONNX graph that Transformers.js runs, and one for each step of the model, which
    `Segmenter.from_pretrained(OUT, backend="onnx")` runs on NumPy alone.
    """
    from clipseg_hf.export import export_onnx

    hide_bars_from_files()
    folder = export_onnx(model, output, echo=typer.echo)
    typer.echo(f"The model is in {folder}.")
