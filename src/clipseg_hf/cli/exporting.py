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
    int8: Annotated[bool, typer.Option("--int8", help="Also with weights in 8 bits: a quarter of the size.")] = False,
    fp16: Annotated[bool, typer.Option("--fp16", help="Also in half precision: half of the size.")] = False,
) -> None:
    """Export a model to run without torch, in a browser or in Node.

    Writes one ONNX graph that Transformers.js runs, and one for each step of the model, which
    `Segmenter.from_pretrained(OUT, backend="onnx")` runs on NumPy alone. Of smaller copies it says how well their masks
    agree with float32's on the shipped scenes.
    """
    from clipseg_hf.export import export_onnx

    hide_bars_from_files()
    folder = export_onnx(model, output, int8=int8, fp16=fp16, echo=typer.echo)
    typer.echo(f"The model is in {folder}.")
