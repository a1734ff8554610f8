"""Average the weights of decoders that went on from the same one.

    python examples/average_checkpoints.py outputs/one/final outputs/other/final -o outputs/average/final

Trainings that begin at the same weights and end near each other can be averaged ("model soups", Wortsman et al., 2022):
one decoder, at the price of one, that has seen the data of both. The processor and the thresholds are the first one's;
recipes and provenances of the others are numbered (`recipe-2.yaml`), also those of an average that is averaged again.
All stand on one CLIP, which training leaves as it is; where one went on with another CLIP (`clip_name_or_path`),
`--on-first-clip` puts the average on that of the first.
"""

import argparse
import shutil
from pathlib import Path

import torch

from clipseg_hf import CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf._output_files import new_folder

NOTES = ("recipe.yaml", "provenance.json")


def average(checkpoints: list[Path], output: Path, on_first_clip: bool = False) -> None:
    """Write the mean of checkpoints to a new folder.

    Args:
        on_first_clip: the CLIPs of the others may differ from the first one's, and are left out.

    Raises:
        FileExistsError: output is there already.
        FileNotFoundError: a checkpoint is not.
        ValueError: there are fewer than two, they stand on several CLIPs without `on_first_clip`, or their weights have
            other names or shapes than the first one's.
    """
    if len(checkpoints) < 2:
        raise ValueError(f"An average is of two checkpoints or more, got {len(checkpoints)}.")
    if output.exists():
        raise FileExistsError(f"{output} is there already: name a new folder.")
    for checkpoint in checkpoints:
        if not (checkpoint / "config.json").is_file():
            raise FileNotFoundError(f"There is no checkpoint in {checkpoint}; a training leaves one in its `final`.")
    models = [CLIPSegForImageSegmentation.from_pretrained(checkpoint) for checkpoint in checkpoints]
    clips, (first, *others) = zip(*(_parts(model) for model in models), strict=True)
    for checkpoint, clip, state in zip(checkpoints[1:], clips[1:], others, strict=True):
        if {name: value.shape for name, value in state.items()} != {name: value.shape for name, value in first.items()}:
            raise ValueError(f"{checkpoint} has other weights than {checkpoints[0]}: average trainings of one decoder.")
        if not on_first_clip and not _equal(clip, clips[0]):
            raise ValueError(
                f"{checkpoint} stands on another CLIP than {checkpoints[0]}: average trainings on one CLIP, or, where "
                "the first one's decoder was moved to its CLIP and went on there, pass --on-first-clip."
            )
    mean = {name: _mean([state[name] for state in (first, *others)]) for name in first}
    models[0].load_state_dict({**clips[0], **mean})
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


def _parts(model: CLIPSegForImageSegmentation) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The weights of CLIP, and all others."""
    clip: dict[str, torch.Tensor] = {}
    rest: dict[str, torch.Tensor] = {}
    for name, value in model.state_dict().items():
        (clip if name.startswith("clip.") else rest)[name] = value
    return clip, rest


def _equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(value.equal(other[name]) for name, value in one.items())


def _mean(values: list[torch.Tensor]) -> torch.Tensor:
    first = values[0]
    if all(value.equal(first) for value in values):  # to the last bit, as a mean of -0.0 would not be
        return first
    return torch.stack([value.double() for value in values]).mean(0)  # in float64, so that their order does not matter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoints", type=Path, nargs="+", help="folders, two or more")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a new folder")
    parser.add_argument("--on-first-clip", action="store_true", help="whatever CLIP the others stand on")
    given = parser.parse_args()
    average(given.checkpoints, given.output, given.on_first_clip)


if __name__ == "__main__":
    main()
