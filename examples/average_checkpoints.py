"""Average the weights of decoders that went on from the same one.

    python examples/average_checkpoints.py outputs/one/final outputs/other/final -o outputs/average/final

Trainings that begin at the same weights and end near each other can be averaged ("model soups", Wortsman et al., 2022):
one decoder, at the price of one, that has seen the data of both. The processor, the thresholds and the weight of an
example beside a text are the first one's; recipes and provenances of the others are numbered (`recipe-2.yaml`), also
those of an average that is averaged again.
"""

import argparse
import shutil
from pathlib import Path

import torch

from clipseg_hf import CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf._output_files import new_folder

NOTES = ("recipe.yaml", "provenance.json")


def average(checkpoints: list[Path], output: Path) -> None:
    """Write the mean of checkpoints to a new folder.

    Raises:
        FileExistsError: output is there already.
        FileNotFoundError: a checkpoint is not.
        ValueError: there are fewer than two, or their weights have other names or shapes than the first one's.
    """
    if len(checkpoints) < 2:
        raise ValueError(f"An average is of two checkpoints or more, got {len(checkpoints)}.")
    if output.exists():
        raise FileExistsError(f"{output} is there already: name a new folder.")
    for checkpoint in checkpoints:
        if not (checkpoint / "config.json").is_file():
            raise FileNotFoundError(f"There is no checkpoint in {checkpoint}; a training leaves one in its `final`.")
    models = [CLIPSegForImageSegmentation.from_pretrained(checkpoint) for checkpoint in checkpoints]
    first, *others = states = [model.state_dict() for model in models]
    for checkpoint, state in zip(checkpoints[1:], others, strict=True):
        if {name: value.shape for name, value in state.items()} != {name: value.shape for name, value in first.items()}:
            raise ValueError(f"{checkpoint} has other weights than {checkpoints[0]}: average trainings of one decoder.")
    models[0].load_state_dict({name: _mean([state[name] for state in states]) for name in first})
    with new_folder(output):
        models[0].save_pretrained(output)
        CLIPSegProcessor.from_pretrained(checkpoints[0]).save_pretrained(output)
        for note in map(Path, NOTES):
            parts = [path for checkpoint in checkpoints for path in _numbered(checkpoint, note)]
            for number, path in enumerate(parts, 1):
                shutil.copy(path, output / (note.name if number == 1 else f"{note.stem}-{number}{note.suffix}"))


def _numbered(checkpoint: Path, note: Path) -> list[Path]:
    """A checkpoint's note and those of its other trainings, in the order of their numbers: "-2" sorts before "."."""
    return sorted(checkpoint.glob(f"{note.stem}*{note.suffix}"), key=lambda path: (len(path.name), path.name))


def _mean(values: list[torch.Tensor]) -> torch.Tensor:
    first = values[0]
    # What is the same in all stays so to the last bit (a mean of -0.0 is 0.0): caches know a CLIP by its bits.
    if all(value.equal(first) for value in values):
        return first
    return torch.stack([value.double() for value in values]).mean(0)  # in float64, so that their order does not matter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoints", type=Path, nargs="+", help="folders, two or more")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a new folder")
    given = parser.parse_args()
    average(given.checkpoints, given.output)


if __name__ == "__main__":
    main()
