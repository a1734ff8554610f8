"""Put a trained CLIPSeg on another CLIP of the same sizes; find its thresholds, and an example's weight, anew.

    python examples/put_on_clip.py outputs/emoji-refiner/final outputs/emoji-clip-examples outputs/emoji-world \\
        -o outputs/emoji-finished --weights 0.3 0.5 0.7

For a CLIP that went on in what the decoder does not read, such as new blocks on top (`new_layers_only`): nothing is
trained, and what the new CLIP knows better of example images serves at once. On one that differs in what the decoder
reads, train it further instead (`clip_name_or_path` of a recipe).
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from clipseg_hf import CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf._output_files import new_folder
from clipseg_hf.data.phrasecut.phrasecut_plus import load_phrasecut_plus
from clipseg_hf.hub.origins import RECORDS
from clipseg_hf.training.assembly import put_on_clip
from clipseg_hf.training.validation import ValidationSettings, calibrate


def put(
    checkpoint: Path, clip: str, world: str, output: Path, scenes: int = 200, weights: Sequence[float] = ()
) -> None:
    """Write the checkpoint on that CLIP to a new folder, with thresholds from validation scenes, and with that of the
    weights of an example beside a text that serves best there; of none, with one half.

    Raises:
        FileExistsError: output is there already.
        FileNotFoundError: the checkpoint or the CLIP is not.
        ValueError: the decoder does not fit the CLIP.
    """
    if not (checkpoint / "config.json").is_file():
        raise FileNotFoundError(f"There is no checkpoint in {checkpoint}; a training leaves one in its `final`.")
    with new_folder(output):
        model = put_on_clip(CLIPSegForImageSegmentation.from_pretrained(checkpoint), clip)
        processor = CLIPSegProcessor.from_pretrained(checkpoint)
        rows = load_phrasecut_plus(world, split="val")
        settings = ValidationSettings(samples=scenes, weights=tuple(weights))
        calibrate(model, processor, rows, settings).put_into(model, processor)
        model.save_pretrained(output)
        processor.save_pretrained(output)
        for record in (path for pattern in RECORDS for path in checkpoint.glob(pattern)):
            shutil.copy(record, output / record.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", type=Path, help="folder of the trained model")
    parser.add_argument("clip", help="folder or name of the other CLIP")
    parser.add_argument("world", help="folder that `clipseg-hf scenes` wrote, for its validation scenes")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a new folder")
    parser.add_argument("--scenes", type=int, default=200, help="validation scenes for the thresholds")
    parser.add_argument(
        "--weights",
        type=float,
        nargs="+",
        default=(),
        help="of an example beside a text, to choose from there; left out, one half",
    )
    given = parser.parse_args()
    put(given.checkpoint, given.clip, given.world, given.output, given.scenes, given.weights)


if __name__ == "__main__":
    main()
