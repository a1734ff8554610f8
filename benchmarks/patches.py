"""Do the patches of a CLIP know what they show? By CLIP alone, without a decoder.

    OMP_NUM_THREADS=1 python benchmarks/patches.py outputs/emoji-world outputs/emoji-clip outputs/emoji-clip-longer ...

For each phrase of validation scenes, the patches of CLIP's last layer are ranked by their cosine with the phrase ("a
photo of a ..."); a patch is right if at least half of it shows what the phrase means. The mean average precision of
each CLIP goes to `benchmarks/patches.json` and a table of `benchmarks/README.md`.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from reporting import put_table
from torch.nn import functional as F
from transformers import CLIPModel, CLIPTokenizer

from clipseg_hf.data.phrasecut.phrasecut_plus import load_phrasecut_plus
from clipseg_hf.data.rows.row_phrases import phrase_mask
from clipseg_hf.evaluation.benchmarks.benchmark_data import unseen_emoji
from clipseg_hf.training.devices.accelerator import processor_name
from clipseg_hf.training.pretraining.captioned_pictures import normalize_pictures
from clipseg_hf.training.pretraining.small_clip import embed_patches

HERE = Path(__file__).parent
KINDS = ("seen", "unseen", "relations")
SIZE = 256  # as the decoder sees them


def average_precision(scores: torch.Tensor, right: torch.Tensor) -> float:
    """The mean, over the right ones, of the share of right ones among those ranked no lower."""
    ranked = right[scores.argsort(descending=True)].double()
    precision = ranked.cumsum(0) / torch.arange(1, len(ranked) + 1)
    return float((precision * ranked).sum() / ranked.sum())


@torch.inference_mode()
def measure(clip: Path, rows: list[dict]) -> dict:
    """Kind of phrase -> {"precision", "phrases"}."""
    model, tokenizer, unseen = CLIPModel.from_pretrained(clip), CLIPTokenizer.from_pretrained(clip), unseen_emoji()
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for row in rows:
        picture = np.asarray(row["image"].convert("RGB").resize((SIZE, SIZE)))
        image = model.get_image_features(normalize_pictures(picture[None]), interpolate_pos_encoding=True)
        patches = F.normalize(embed_patches(model, image.last_hidden_state)[0], dim=-1)  # (P, D)
        texts = [f"a photo of a {phrase['phrase']}." for phrase in row["phrases"]]
        tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        names = F.normalize(model.get_text_features(**tokens).pooler_output, dim=-1)  # (N, D)
        side = SIZE // model.config.vision_config.patch_size
        for number, phrase in enumerate(row["phrases"]):
            mask = torch.from_numpy(phrase_mask(row["phrases"], number)).float()
            right = F.adaptive_avg_pool2d(mask[None], side).flatten() >= 0.5
            if right.any():  # what is smaller than a patch is nowhere
                kind = "relations" if phrase["relations"] else "unseen" if phrase["name"] in unseen else "seen"
                found[kind].append(average_precision(patches @ names[number], right))
    return {kind: {"precision": float(np.mean(values)), "phrases": len(values)} for kind, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("world", type=Path, help="folder that `clipseg-hf scenes` wrote")
    parser.add_argument("clips", type=Path, nargs="+", help="folders of CLIPs")
    parser.add_argument("--scenes", type=int, default=200)
    given = parser.parse_args()
    scenes = load_phrasecut_plus(str(given.world), split="val")
    rows = [scenes[number] for number in range(given.scenes)]
    results = {
        "processor": processor_name(),
        "torch": torch.__version__,
        "scenes": len(rows),
        "clips": {clip.name: measure(clip, rows) for clip in given.clips},
    }
    (HERE / "patches.json").write_text(json.dumps(results, indent=1) + "\n")
    put_table("patches", table(results))


def table(results: dict) -> str:
    """A row for each CLIP."""
    first = next(iter(results["clips"].values()))
    counted = ", ".join(f"{first[kind]['phrases']} {kind}" for kind in KINDS)
    lines = [f"{results['scenes']} validation scenes; phrases: {counted}.", "", "| | " + " | ".join(KINDS) + " |"]
    lines.append("| --- |" + " ---: |" * len(KINDS))
    for name, kinds in results["clips"].items():
        lines.append(f"| {name} | " + " | ".join(f"{kinds[kind]['precision']:.3f}" for kind in KINDS) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
