"""`python -m clipseg_hf.training.pretraining RECIPE.yaml -o FOLDER`"""

import json
from pathlib import Path
from typing import Annotated

import typer

from clipseg_hf.console.commands import run_module


def pretrain(
    recipe: Annotated[Path, typer.Argument(help="YAML file, such as examples/recipes/emoji-clip.yaml.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="For the result.")] = Path("emoji-clip"),
    font: Annotated[str | None, typer.Option(metavar="FILE", help="NotoColorEmoji.ttf, if it is elsewhere.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that draw pictures.")] = 1,
) -> None:
    """Train a small CLIP for the emoji world by a recipe, and print what was measured."""
    from clipseg_hf.training.pretraining import pretrain as pretraining
    from clipseg_hf.training.pretraining.pretrain_recipe import PretrainRecipe

    measured = pretraining.pretrain(PretrainRecipe.from_yaml(recipe), output, font=font, workers=workers)
    typer.echo(json.dumps(measured, indent=2))


if __name__ == "__main__":
    run_module("clipseg_hf.training.pretraining", pretrain)
