"""`clipseg-hf app`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clipseg_hf.cli.app import app
from clipseg_hf.console.commands import DEFAULT_MODEL, DeviceOption, ModelOption, hide_bars_from_files


class Backend(StrEnum):
    torch = "torch"
    onnx = "onnx"


@app.command("app")
def open_page(
    model: ModelOption = DEFAULT_MODEL,
    host: Annotated[
        str | None, typer.Option(help="0.0.0.0 listens to everybody. Left out, to this machine alone.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Left out, the first free one from 7860.")] = None,
    backend: Annotated[Backend, typer.Option(help="onnx runs what `export onnx` wrote.")] = Backend.torch,
    device: DeviceOption = None,
    space: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Open nothing, write the page as a Space of the Hub.")
    ] = None,
) -> None:
    """Open a page in the browser: a picture and words in, masks out.

    Needs `pip install 'clipseg-hf[app]'`. Nothing is fetched from or told to anybody; pictures stay on the machine.
    """
    from clipseg_hf.app import serve, write_space

    if space is not None:
        write_space(space, model)
        say_space(space)
        return
    hide_bars_from_files()
    serve(model, host=host, port=port, backend=backend.value, device=device, echo=typer.echo)


def say_space(folder: Path) -> None:
    """What to do with a Space that has been written."""
    typer.echo(f"The Space is in {folder}: `hf upload ACCOUNT/NAME {folder} --repo-type space` puts it on the Hub.")
