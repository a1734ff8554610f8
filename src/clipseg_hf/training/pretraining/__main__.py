"""`python -m clipseg_hf.training.pretraining RECIPE.yaml -o FOLDER`"""

import argparse
import json


def main() -> None:
    """Pretrain a CLIP by a recipe, and print what was measured."""
    parser = argparse.ArgumentParser(
        prog="python -m clipseg_hf.training.pretraining", description="Train a small CLIP for the emoji world."
    )
    parser.add_argument("recipe", help="YAML file, such as examples/recipes/emoji-clip.yaml")
    parser.add_argument("-o", "--output", default="emoji-clip", help="folder for the result")
    parser.add_argument("--font", help="path of NotoColorEmoji.ttf")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw pictures")
    given = parser.parse_args()
    from clipseg_hf.training.pretraining.pretrain import pretrain
    from clipseg_hf.training.pretraining.pretrain_recipe import PretrainRecipe

    measured = pretrain(PretrainRecipe.from_yaml(given.recipe), given.output, font=given.font, workers=given.workers)
    print(json.dumps(measured, indent=2))


if __name__ == "__main__":
    main()
