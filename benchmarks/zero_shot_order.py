"""Why are unseen classes segmented worse than seen ones on the emoji world, where the paper found the reverse?

    clipseg-hf reproduce emoji --seeds 0,1,2 -o outputs/reproduction
    OMP_NUM_THREADS=1 python benchmarks/zero_shot_order.py outputs/reproduction

takes the CLIPSeg (PC+) of each seed and the classes of the zero-shot table, in its groups of ten seen and ten unseen
ones, and asks what the gap is made of: the classes themselves (their size, and how well CLIP knows them), the masks of
each class alone, or the choice between the classes. The results go to `benchmarks/reproduction/zero_shot_order.json`
and a table of `benchmarks/reproduction/FINDINGS.md`.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from reporting import put_table

from clipseg_hf import CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf.data.phrasecut.phrasecut_plus import load_phrasecut_plus
from clipseg_hf.evaluation.benchmarks.benchmark_data import rows_showing
from clipseg_hf.evaluation.benchmarks.label_maps import LabelMap, RowLabelMaps
from clipseg_hf.evaluation.protocols.prompted_model import PromptedModel, resize_masks
from clipseg_hf.evaluation.protocols.queries import batches
from clipseg_hf.evaluation.protocols.zero_shot import WITHOUT_BACKGROUND, ConfusionMatrix, evaluate_zero_shot
from clipseg_hf.reproduction.paper_tables import PC_PLUS
from clipseg_hf.reproduction.reproduction_report import mean_text
from clipseg_hf.training.devices.accelerator import processor_name

HERE = Path(__file__).parent / "reproduction"
THRESHOLD = 0.3  # the paper's, of PhraseCut
LINES = {
    "classes": "classes",
    "pictures that show a class": "pictures",
    "area of its things, % of the picture": "area",
    "CLIP names the thing, cut out, among the 20, %": "clip",
    "IoU of the class asked alone, at 0.3": "alone",
    "mIoU, the ten of its own kind to choose from": "among_its_group",
    "mIoU, all 20 of its group to choose from (the table's)": "among_all",
    "pixels given to a class of the other kind, %": "lost",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reproduction", type=Path, help="folder that `clipseg-hf reproduce emoji` filled")
    work = parser.parse_args().reproduction / "work"
    torch.set_num_threads(1)
    seeds = {}
    for home in sorted(work.glob("seed-*")):
        report = home / "reports" / f"{PC_PLUS}-zero-shot" / "report.json"
        if report.is_file():
            settings = json.loads(report.read_text(encoding="utf-8"))["settings"]
            seeds[home.name] = measure(home / "models" / PC_PLUS / "final", work / "world", settings)
    results = {"processor": processor_name(), "torch": torch.__version__, "threads": 1, "seeds": seeds}
    (HERE / "zero_shot_order.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    put_table("zero-shot order", table(list(seeds.values())), HERE / "FINDINGS.md")


def measure(checkpoint: Path, world: Path, settings: dict) -> dict:
    """One training: group of classes -> the numbers of `LINES`, in percent but for classes and pictures."""
    model = CLIPSegForImageSegmentation.from_pretrained(checkpoint).eval()
    processor = CLIPSegProcessor.from_pretrained(checkpoint)
    rows = load_phrasecut_plus(str(world), split=settings["split"])
    groups, unseen = settings["groups"], settings["unseen"]
    alone, found, together, shown = {}, {}, [], {}
    apart: dict[bool, list[ConfusionMatrix]] = {False: [], True: []}  # whether unseen
    for classes in groups:
        maps = [*RowLabelMaps(rows_showing(rows, classes), classes)]
        together.append(evaluate_zero_shot(model, processor, maps, classes)[WITHOUT_BACKGROUND])
        alone |= ask_alone(model, processor, maps, classes)
        found |= name_things(model, processor, maps, classes)
        for number, name in enumerate(classes, 1):
            masks = [_of(picture, number) for picture in maps]
            shown[name] = [float(mask.mean()) for mask in masks if mask.any()]
        for is_unseen, matrices in apart.items():
            names = [name for name in classes if (name in unseen) == is_unseen]
            own = [*RowLabelMaps(rows_showing(rows, names), names)]
            matrices.append(evaluate_zero_shot(model, processor, own, names)[WITHOUT_BACKGROUND])
    matrix = ConfusionMatrix.joined(together)
    numbers = {}
    for group, is_unseen in (("seen", False), ("unseen", True)):
        among_own = ConfusionMatrix.joined(apart[is_unseen])
        names = among_own.classes
        places = [matrix.classes.index(name) for name in names]
        others = [place for place in range(len(matrix.classes)) if place not in places]
        pixels, ious = matrix.counts[places], matrix.iou()
        numbers[group] = {
            "classes": len(names),
            "pictures": statistics.fmean(len(shown[name]) for name in names),
            "area": 100 * statistics.fmean(area for name in names for area in shown[name]),
            "clip": 100 * statistics.fmean(found[name] for name in names),
            "alone": 100 * statistics.fmean(alone[name] for name in names),
            "among_its_group": 100 * statistics.fmean(among_own.iou().values()),
            "among_all": 100 * statistics.fmean(ious[name] for name in names),
            "lost": 100 * float(pixels[:, others].sum() / pixels.sum()),
        }
    return numbers


def ask_alone(model, processor, maps: Sequence[LabelMap], classes: Sequence[str]) -> dict[str, float]:
    """IoU of each class over the pictures that show it, its probability against a threshold, no other class asked."""
    prompted = PromptedModel(model, processor, ("{}",))
    counts = np.zeros((len(classes), 2))
    with prompted.evaluating():
        vectors = prompted.text_vectors(classes)
        for numbers in batches(len(maps), 4, (0, 1), None):
            batch = [maps[number] for number in numbers]
            features = prompted.encode_images([picture.image for picture in batch])
            asked = [(n, place) for n, picture in enumerate(batch) for place in _places(picture)]
            logits = prompted.logits(features, vectors[[place for _, place in asked]], [n for n, _ in asked])
            for (n, place), mask in zip(asked, logits.sigmoid() > THRESHOLD, strict=True):
                truth = resize_masks(torch.from_numpy(_of(batch[n], place + 1))[None], tuple(mask.shape))[0]
                counts[place] += [int((mask & truth).sum()), int((mask | truth).sum())]
    return {name: float(both / either) for name, (both, either) in zip(classes, counts, strict=True)}


def name_things(model, processor, maps: Sequence[LabelMap], classes: Sequence[str]) -> dict[str, float]:
    """How often CLIP, shown a class's things cut out as an example would be, is nearest to the class's name."""
    prompted = PromptedModel(model, processor, ("{}",))
    right: dict[str, list[bool]] = {name: [] for name in classes}
    with prompted.evaluating():
        texts = torch.nn.functional.normalize(prompted.text_vectors(classes), dim=-1)
        for picture in maps:
            places = _places(picture)
            examples = [(picture.image, _of(picture, place + 1)) for place in places]
            images = torch.nn.functional.normalize(prompted.image_vectors(examples), dim=-1)
            for place, nearest in zip(places, (images @ texts.T).argmax(dim=-1).tolist(), strict=True):
                right[classes[place]].append(nearest == place)
    return {name: statistics.fmean(hits) for name, hits in right.items()}


def _of(picture: LabelMap, number: int) -> np.ndarray:
    return picture.labels == number


def _places(picture: LabelMap) -> list[int]:
    """The classes that a picture shows, as places in their list."""
    return [int(number) - 1 for number in np.unique(picture.labels) if number > 0]


def table(seeds: Sequence[dict]) -> str:
    """Seen and unseen side by side, the mean over seeds with the standard deviation where seeds differ."""
    lines = ["| | seen | unseen |", "| --- | ---: | ---: |"]
    for title, key in LINES.items():
        of_seeds = [[seed[group][key] for seed in seeds] for group in ("seen", "unseen")]
        cells = [str(each[0]) if isinstance(each[0], int) else mean_text(each) for each in of_seeds]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
