"""`python -m clipseg_hf.training RECIPE.yaml [--set key=value ...]`, also under torchrun and accelerate launch."""

import argparse
import sys

from clipseg_hf.console.overrides import parse_overrides
from clipseg_hf.training.arguments import CLIPSegTrainingArguments


def main(arguments: list[str] | None = None) -> int:
    """Train by a recipe; what a user can mend ends with exit code 2 and its message, as with `clipseg-hf train`."""
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
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    options = parser.parse_args(arguments)
    try:
        args = CLIPSegTrainingArguments.from_yaml(options.recipe, parse_overrides(options.set))
        from clipseg_hf.training.loop import train

        result = train(args)
    except Exception as error:
        is_ours = type(error).__module__.startswith("clipseg_hf.")
        if options.debug or not (is_ours or isinstance(error, (ImportError, OSError, TypeError, ValueError))):
            raise
        print(f"error: {str(error) or type(error).__name__}", file=sys.stderr)
        return 2
    print(f"The finished model is in {result.folder}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
