"""`clipseg-hf`: every command parses its arguments and calls one function of the package.

Whatever is heavy is imported inside of the commands.
"""

# in the order of the help
from clipseg_hf.cli import segmenting  # isort: skip
from clipseg_hf.cli import labelling  # isort: skip
from clipseg_hf.cli import serving  # isort: skip
from clipseg_hf.cli import data  # isort: skip
from clipseg_hf.cli import models  # isort: skip
from clipseg_hf.cli import exporting  # isort: skip
from clipseg_hf.cli import publishing  # isort: skip
from clipseg_hf.cli import reproducing  # isort: skip
from clipseg_hf.cli.app import app

__all__ = [
    "app",
    "data",
    "exporting",
    "labelling",
    "main",
    "models",
    "publishing",
    "reproducing",
    "segmenting",
    "serving",
]


def main() -> None:
    """The console script."""
    app(prog_name="clipseg-hf")
