"""`python -m clipseg_hf.training RECIPE.yaml [--set key=value ...]`, also under torchrun and accelerate launch."""

import argparse
import sys

from clipseg_hf.training.arguments import CLIPSegTrainingArguments, parse_overrides


def main(arguments: list[str] | None = None) -> int:
    """Train by a recipe; errors in the recipe end with exit code 2 and one line."""
    parser = argparse.ArgumentParser(
        prog="python -m clipseg_hf.training", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipe", help="a YAML file, such as those in examples/recipes")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one of the recipe's values:\n" + CLIPSegTrainingArguments.describe().replace("%", "%%"),
    )
    options = parser.parse_args(arguments)
    try:
        args = CLIPSegTrainingArguments.from_yaml(options.recipe, parse_overrides(options.set))
    except (OSError, TypeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    from clipseg_hf.training.loop import train

    result = train(args)
    print(f"The finished model is in {result.folder}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
