"""Mean IoU of one pass against tiles on emoji scenes of 2048 x 2048, with the checkpoint emoji-tiny of 320 x 320.

    OMP_NUM_THREADS=1 python benchmarks/tiling.py

Scenes are drawn from a seed, apart from those that emoji-tiny was trained on; each is asked for the names of its
things, by every way in turn, at the checkpoint's own threshold: in one pass or by tiles; with its refiner, without it,
and with the guided filter in its place. In the first kind of scene all things are small, 40 to 140 pixels, as large as
in the scenes of 256 that the model knows; in the second they are 40 to 1000 pixels. Time is the CPU's, of one thread.
Then, on scenes of 1024 x 1024 with other seeds, how much the answer to the whole should count.
Results go to `benchmarks/tiling.json` and into the tables of `benchmarks/README.md`; `--only` measures one of the two
and keeps the other's numbers.
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
from scipy.special import logit

from clipseg_hf import CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf.data.emoji_world.emoji_files import split_concepts
from clipseg_hf.data.emoji_world.emoji_glyphs import GlyphSheet
from clipseg_hf.data.emoji_world.emoji_scenes import Scene, SceneSettings, draw_scene
from clipseg_hf.inference import GuidedFilter, Segmenter, Tiling
from clipseg_hf.processing.plain.probabilities import resize_map
from clipseg_hf.training.devices.accelerator import processor_name

HERE = Path(__file__).parent
SIDE = 2048
KINDS = {"small things": (40, 140), "things of all sizes": (40, 1000)}  # pixels
LARGE = Tiling(tile_size=512)
# What makes the masks, and how the picture is cut.
WAYS = {
    "one pass": ("refiner", None),
    "one pass, without the refiner": ("decoder", None),
    "one pass, guided filter instead": ("guided filter", None),
    "tiles alone": ("refiner", Tiling(prior_weight=0)),
    "tiles and the whole": ("refiner", Tiling()),
    "tiles of 512 and the whole": ("refiner", LARGE),
    "tiles of 512 and the whole, without the refiner": ("decoder", LARGE),
    "tiles of 512 and the whole, guided filter instead": ("guided filter", LARGE),
}

TUNED_SIDE, TUNED_KINDS = 1024, {"40 to 140": (40, 140), "40 to 500": (40, 500), "150 to 600": (150, 600)}
WEIGHTS = (0, 0.05, 0.1, 0.15, 0.25, 0.4)


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    segmenters, glyphs = _segmenters(), GlyphSheet(arguments.font)
    path = arguments.output or HERE / "tiling.json"
    results = json.loads(path.read_text()) if arguments.only else {}
    if arguments.only != "weights":
        results |= _compare_ways(segmenters, glyphs, arguments)
    if arguments.only != "ways":
        results["weights"] = _compare_weights(segmenters["refiner"], glyphs, arguments)
    tables = {"tiling": _table(results), "tiling weights": _weights_table(results["weights"])}
    path.write_text(json.dumps(results, indent=2) + "\n")
    for name, table in tables.items():
        print(table)
        if arguments.output is None:
            put_table(name, table)


def _segmenters() -> dict[str, Segmenter]:
    """Of the same checkpoint, by what makes its masks."""
    processor = CLIPSegProcessor.from_pretrained("emoji-tiny")
    refined, bare = (
        CLIPSegForImageSegmentation.from_pretrained("emoji-tiny", **options) for options in ({}, {"refiner": None})
    )
    return {
        "refiner": Segmenter(refined, processor),
        "decoder": Segmenter(bare, processor),
        "guided filter": Segmenter(bare, processor, guided_filter=GuidedFilter()),
    }


def _compare_ways(segmenters: dict[str, Segmenter], glyphs: GlyphSheet, arguments: argparse.Namespace) -> dict:
    return {
        "kinds": {kind: _compare(segmenters, glyphs, place, arguments) for place, kind in enumerate(KINDS)},
        "ways": {
            name: {"masks": masks, "tiling": None if tiling is None else vars(tiling)}
            for name, (masks, tiling) in WAYS.items()
        },
        "side": SIDE,
        "scenes": arguments.scenes,
        "seed": arguments.seed,
        "machine": f"{processor_name()} ({torch.backends.cpu.get_cpu_capability()}), one thread",
        "versions": {"torch": torch.__version__},
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=4, help="of each kind")
    parser.add_argument("--concepts", type=int, default=12, help="different things in a scene")
    parser.add_argument("--seed", type=int, default=1, help="of the scenes")
    parser.add_argument("--only", choices=("ways", "weights"), help="measure these alone")
    parser.add_argument("--font", type=Path, help="NotoColorEmoji.ttf, if it is not where systems put it")
    parser.add_argument("-o", "--output", type=Path, help="JSON file; default: benchmarks/tiling.json, and its table")
    return parser.parse_args()


def _compare(segmenters: dict[str, Segmenter], glyphs: GlyphSheet, kind: int, arguments: argparse.Namespace) -> dict:
    overlaps, seconds = {way: [] for way in WAYS}, {way: [] for way in WAYS}
    for number in range(arguments.scenes):
        scene = _draw(glyphs, [arguments.seed, kind, number], SIDE, list(KINDS.values())[kind], arguments.concepts)
        truths = _truths(scene)
        for way, (masks, tiling) in WAYS.items():
            segmenters[masks].tiling, start = tiling, time.process_time()
            (result,) = segmenters[masks](Image.fromarray(scene.image), list(truths))
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


def _draw(glyphs: GlyphSheet, seed: list[int], side: int, sizes: tuple[int, int], concepts: int) -> Scene:
    settings = SceneSettings(
        sizes=((side, side),),
        concepts_per_scene=(concepts, concepts),
        object_size=(sizes[0] / side, sizes[1] / side),
        attribute_probability=0,  # a name means the thing as it usually looks
    )
    return draw_scene(np.random.default_rng(seed), split_concepts("train"), glyphs, settings)


def _compare_weights(segmenter: Segmenter, glyphs: GlyphSheet, arguments: argparse.Namespace) -> dict:
    """Mean IoU by `prior_weight`, and by the higher of both logits. Mixing is linear, so tiles are asked once."""
    found: dict[str, dict[str, list[float]]] = {kind: {} for kind in TUNED_KINDS}
    for place, (kind, sizes) in enumerate(TUNED_KINDS.items()):
        for number in range(arguments.scenes):
            seed = [arguments.seed + 1, place, number]
            scene = _draw(glyphs, seed, TUNED_SIDE, sizes, arguments.concepts)
            truths, answers = _truths(scene), []
            for tiling in (Tiling(prior_weight=0), None):
                segmenter.tiling = tiling
                answers.append(segmenter(Image.fromarray(scene.image), list(truths))[0])
            for n, truth in enumerate(truths.values()):
                tiles, whole = (resize_map(answer.logits[n], (TUNED_SIDE, TUNED_SIDE)) for answer in answers)
                mixed = {str(weight): (1 - weight) * tiles + weight * whole for weight in WEIGHTS}
                for name, logits in {"one pass": whole, **mixed, "the higher": np.maximum(tiles, whole)}.items():
                    mask = logits > logit(answers[0].thresholds[n])
                    found[kind].setdefault(name, []).append(_iou(mask, truth))
    return {
        kind: {name: round(statistics.mean(values), 4) for name, values in by_name.items()}
        | {"phrases": len(by_name["one pass"])}
        for kind, by_name in found.items()
    }


def _weights_table(weights: dict) -> str:
    names = ["one pass", *map(str, WEIGHTS), "the higher"]
    lines = [f"| things, pixels | {' | '.join(names)} |", f"| --- | {' | '.join(['---:'] * len(names))} |"]
    for kind, numbers in weights.items():
        cells = " | ".join(f"{numbers[name]:.3f}" for name in names)
        lines.append(f"| {kind} ({numbers['phrases']} phrases) | {cells} |")
    return "\n".join(lines)


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
