"""Mean IoU of one pass against tiles on emoji scenes of 2048 x 2048, with the checkpoint emoji-tiny of 256 x 256.

    OMP_NUM_THREADS=1 python benchmarks/tiling.py

Scenes are drawn from a seed, apart from those that emoji-tiny was trained on; each is asked for the names of its
things, by every way in turn, at the checkpoint's own threshold. In the first kind of scene all things are small, 40 to
140 pixels, as large as in the scenes of 256 that the model knows; in the second they are 40 to 1000 pixels. Time is the
CPU's, of one thread. Results go to `benchmarks/tiling.json` and into the table of `benchmarks/README.md`.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from reporting import put_table

from clipseg_hf.data.emoji_world.emoji_files import split_concepts
from clipseg_hf.data.emoji_world.emoji_glyphs import GlyphSheet
from clipseg_hf.data.emoji_world.emoji_scenes import Scene, SceneSettings, draw_scene
from clipseg_hf.inference import Segmenter, Tiling
from clipseg_hf.training.devices.accelerator import processor_name

HERE = Path(__file__).parent
SIDE = 2048
KINDS = {"small things": (40, 140), "things of all sizes": (40, 1000)}  # pixels
WAYS = {
    "one pass": None,
    "tiles alone": Tiling(prior_weight=0),
    "tiles and the whole": Tiling(),
    "tiles of 512 and the whole": Tiling(tile_size=512),
}


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    segmenter, glyphs = Segmenter.from_pretrained("emoji-tiny", device="cpu"), GlyphSheet(arguments.font)
    results = {
        "kinds": {kind: _compare(segmenter, glyphs, place, arguments) for place, kind in enumerate(KINDS)},
        "ways": {name: None if way is None else vars(way) for name, way in WAYS.items()},
        "side": SIDE,
        "scenes": arguments.scenes,
        "seed": arguments.seed,
        "machine": f"{processor_name()} ({torch.backends.cpu.get_cpu_capability()}), one thread",
        "versions": {"torch": torch.__version__},
    }
    table = _table(results)
    print(table)
    (arguments.output or HERE / "tiling.json").write_text(json.dumps(results, indent=2) + "\n")
    if arguments.output is None:
        put_table("tiling", table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=4, help="of each kind")
    parser.add_argument("--concepts", type=int, default=12, help="different things in a scene")
    parser.add_argument("--seed", type=int, default=1, help="of the scenes")
    parser.add_argument("--font", type=Path, help="NotoColorEmoji.ttf, if it is not where systems put it")
    parser.add_argument("-o", "--output", type=Path, help="JSON file; default: benchmarks/tiling.json, and its table")
    return parser.parse_args()


def _compare(segmenter: Segmenter, glyphs: GlyphSheet, kind: int, arguments: argparse.Namespace) -> dict:
    smallest, largest = list(KINDS.values())[kind]
    settings = SceneSettings(
        sizes=((SIDE, SIDE),),
        concepts_per_scene=(arguments.concepts, arguments.concepts),
        object_size=(smallest / SIDE, largest / SIDE),
        attribute_probability=0,  # a name means the thing as it usually looks
    )
    overlaps, seconds = {way: [] for way in WAYS}, {way: [] for way in WAYS}
    for number in range(arguments.scenes):
        generator = np.random.default_rng([arguments.seed, kind, number])
        scene = draw_scene(generator, split_concepts("train"), glyphs, settings)
        truths = _truths(scene)
        for way, tiling in WAYS.items():
            segmenter.tiling, start = tiling, time.process_time()
            (result,) = segmenter(Image.fromarray(scene.image), list(truths))
            seconds[way].append(time.process_time() - start)
            overlaps[way] += [_iou(mask, truth) for mask, truth in zip(result.masks, truths.values(), strict=True)]
    return {
        "phrases": len(overlaps["one pass"]),
        "mean_iou": {way: round(statistics.mean(values), 4) for way, values in overlaps.items()},
        "standard_error": {
            way: round(statistics.stdev(values) / len(values) ** 0.5, 4) for way, values in overlaps.items()
        },
        "seconds_per_scene": {way: round(statistics.median(values), 2) for way, values in seconds.items()},
    }


def _truths(scene: Scene) -> dict[str, np.ndarray]:
    """Name -> the pixels that show such a thing."""
    names = [instance.concept.name for instance in scene.instances]
    return {
        name: scene.mask([number for number, other in enumerate(names) if other == name]) for name in sorted({*names})
    }


def _iou(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / max(1, (found | truth).sum()))


def _table(results: dict) -> str:
    columns = [f"{kind} ({numbers['phrases']} phrases)" for kind, numbers in results["kinds"].items()]
    lines = [
        f"{results['machine']}, torch {results['versions']['torch']}; {results['scenes']} scenes of {SIDE} x {SIDE} "
        "each; mean IoU over phrases, with its standard error.\n",
        f"| | {' | '.join(columns)} | s a scene |",
        f"| --- | {'---: | ' * len(results['kinds'])}---: |",
    ]
    for way in WAYS:
        cells = [
            f"{numbers['mean_iou'][way]:.3f} ± {numbers['standard_error'][way]:.3f}"
            for numbers in results["kinds"].values()
        ]
        seconds = next(iter(results["kinds"].values()))["seconds_per_scene"][way]
        lines.append(f"| {way} | {' | '.join(cells)} | {seconds:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
