"""What does a CLIP that learns the names of examples do for a decoder that was not trained on it?

    OMP_NUM_THREADS=1 python benchmarks/named_examples.py outputs/emoji-world outputs/emoji-clip-regions \\
        outputs/emoji-clip-examples outputs/emoji-average-3

`emoji-clip-examples.yaml` puts a block on a CLIP which learns the names of things that are cut out, and keeps a share
of what it learned (`learned_share`). For several shares: how often, among all names of the emoji world, is that of an
example of validation scenes the nearest, by CLIP alone; and what does the given decoder, which reads none of it, make
of examples, and of examples with texts? The numbers go to `benchmarks/named_examples.json` and a table of
`benchmarks/README.md`.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from reporting import put_table
from torch.nn import functional as F
from transformers import CLIPModel

from clipseg_hf import CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf.data.emoji_world.emoji_glyphs import load_concepts
from clipseg_hf.data.phrasecut.phrasecut_plus import load_phrasecut_plus
from clipseg_hf.data.rows.row_phrases import phrase_mask
from clipseg_hf.evaluation import ConceptSubsets, ReferringSettings, evaluate_referring, summarize
from clipseg_hf.evaluation.benchmarks.benchmark_data import unseen_emoji
from clipseg_hf.training.assembly import put_on_clip
from clipseg_hf.training.devices.accelerator import processor_name
from clipseg_hf.training.pretraining.pretrain_recipe import PretrainRecipe, Stage
from clipseg_hf.training.pretraining.small_clip import load_clip

HERE = Path(__file__).parent
KINDS = ("seen", "unseen")


@torch.inference_mode()
def named(model: CLIPModel, processor: CLIPSegProcessor, rows: list[dict]) -> dict:
    """Kind of thing -> {"right", "examples"}: how often the nearest name is the right one."""
    names, unseen = sorted({concept.name for concept in load_concepts()}), unseen_emoji()
    tokens = processor(text=[f"a photo of a {name}." for name in names], return_tensors="pt")
    texts = model.get_text_features(tokens["input_ids"], attention_mask=tokens["attention_mask"]).pooler_output
    found: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    for row in rows:
        picture, phrases = np.asarray(row["image"].convert("RGB")), row["phrases"]
        things = [number for number, phrase in enumerate(phrases) if phrase["phrase"] == phrase["name"]]
        masks = [phrase_mask(phrases, number) for number in things]
        inputs = processor(visual_prompt=[picture] * len(things), visual_prompt_masks=masks, return_tensors="pt")
        pixel_values = inputs["conditional_pixel_values"]
        image = model.get_image_features(pixel_values, interpolate_pos_encoding=True).pooler_output
        nearest = (image @ F.normalize(texts, dim=-1).T).argmax(dim=-1)
        for number, best in zip(things, nearest, strict=True):
            name = phrases[number]["name"]
            found["unseen" if name in unseen else "seen"].append(names[best] == name)
    return {kind: {"right": float(np.mean(hits)), "examples": len(hits)} for kind, hits in found.items()}


def decoded(model: CLIPSegForImageSegmentation, processor: CLIPSegProcessor, rows: list[dict]) -> dict:
    """Prompt -> {"seen", "unseen", "auroc"}: mean IoU at 0.5, and how well presence tells what is there."""
    settings = ReferringSettings(prompts=("image", "mix"), boundary_thresholds=())
    subsets = ConceptSubsets({"unseen": unseen_emoji()}, rest="seen")
    found = summarize(evaluate_referring(model, processor, rows, settings, subsets=subsets), at=(0.5,))
    return {
        prompt: {kind: found[prompt][kind]["miou_0.5"] for kind in KINDS}
        | {"auroc": found[prompt]["all"]["presence"]["auroc"]}
        for prompt in ("image", "mix")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("world", type=Path, help="folder that `clipseg-hf scenes` wrote")
    parser.add_argument("start", type=Path, help="folder of the CLIP that got a block")
    parser.add_argument("learned", type=Path, help="folder of the CLIP that came of it")
    parser.add_argument("decoder", type=Path, help="folder of a CLIPSeg on the first one")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.4, 1.0])
    parser.add_argument("--scenes", type=int, default=500)
    given = parser.parse_args()
    scenes = load_phrasecut_plus(str(given.world), split="val")
    rows = [scenes[number] for number in range(min(given.scenes, len(scenes)))]
    processor = CLIPSegProcessor.from_pretrained(given.decoder)
    model = put_on_clip(CLIPSegForImageSegmentation.from_pretrained(given.decoder), str(given.learned))
    recipe = json.loads((given.learned / "pretraining.json").read_text(encoding="utf-8"))["recipe"]
    recipe = PretrainRecipe(**recipe | {"stages": [Stage(**stage) for stage in recipe["stages"]]})
    begun = load_clip(replace(recipe, model_name_or_path=str(given.start)))[0].state_dict()
    ended, shares = {name: value.clone() for name, value in model.clip.state_dict().items()}, {}
    for share in given.shares:
        way = share / recipe.learned_share  # from where it began to where what was kept is
        model.clip.load_state_dict({name: torch.lerp(value, ended[name], way) for name, value in begun.items()})
        shares[str(share)] = {"named": named(model.clip, processor, rows), "decoded": decoded(model, processor, rows)}
    results = {"processor": processor_name(), "torch": torch.__version__, "scenes": len(rows), "shares": shares}
    (HERE / "named_examples.json").write_text(json.dumps(results, indent=1) + "\n")
    put_table("named examples", table(results))


def table(results: dict) -> str:
    """A row for each share."""
    first = next(iter(results["shares"].values()))["named"]
    counted = " and ".join(f"{first[kind]['examples']} {kind}" for kind in KINDS)
    columns = ["right name, seen", "unseen", "example, seen", "unseen", "AUROC", "both, seen", "unseen", "AUROC"]
    lines = [f"{results['scenes']} validation scenes, {counted} examples.", ""]
    lines += ["| share | " + " | ".join(columns) + " |", "| ---: |" + " ---: |" * len(columns)]
    for share, found in results["shares"].items():
        numbers = [found["named"][kind]["right"] for kind in KINDS]
        numbers += [value for prompt in ("image", "mix") for value in found["decoded"][prompt].values()]
        lines.append(f"| {share} | " + " | ".join(f"{number:.3f}" for number in numbers) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
