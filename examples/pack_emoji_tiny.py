"""Pack a trained checkpoint of the emoji world as the package ships it: half the bytes, recipe, numbers and card.

    python examples/pack_emoji_tiny.py outputs/emoji-finished outputs/emoji-average-3 \\
        outputs/emoji-clip-examples outputs/measured.json src/clipseg_hf/assets/emoji-tiny

The weights are stored in float16 and the configuration says float32, so that they are loaded as float32: the decoder
is fragile in half precision. What stands beside the decoder stays in float32, and knows it by its stored weights.
Numbers are to be measured on the packed folder.
"""

import argparse
import json
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from clipseg_hf import CLIPSegForImageSegmentation
from clipseg_hf.inference.demo import WAYS
from clipseg_hf.modeling.checkpoints.beside import ALL_BESIDE, names_beside, save_beside

CARD = """\
---
license: mit
library_name: clipseg-hf
pipeline_tag: image-segmentation
tags: [clipseg, zero-shot-segmentation, one-shot-segmentation, emoji]
---
# emoji-tiny

A CLIPSeg of {parameters:.1f} M parameters that knows the emoji world and nothing else: a small CLIP trained from
scratch and a decoder on it ({trainable:.2f} M parameters, refined readout). Beside the decoder stand attention to the
words of a phrase and the cells of an example ({prompt_tokens:,} weights) and a refiner that looks at the pixels
({refiner:,}). It makes everything in clipseg-hf run without a network, in seconds, on a CPU. It is no model for
photographs. Stock `transformers` loads it, too, without what stands beside the decoder.

```python
from clipseg_hf import EMOJI_TINY, CLIPSegForImageSegmentation, CLIPSegProcessor

model, processor = (cls.from_pretrained(EMOJI_TINY) for cls in (CLIPSegForImageSegmentation, CLIPSegProcessor))
```

## Numbers

{data}, mean IoU over phrases at thresholds 0.5 and 0.3 (the paper's). Unseen concepts were named in no phrase that
the decoder was trained on; the CLIP below it was shown all of them with captions, in scenes, alone and cut out of
their scene, but where in a picture things lie only of the seen ones. Example images show another scene's emoji by its
mask, {shown}; beside a text an example has the share that
`config.json` gives it, {weight:g}. Relations are phrases such as "fox left of banana"; boundary is boundary IoU; AUROC
says how well presence tells a thing that is there from one that is not.

{tables}

Measured by `{script}`; `measured.json` holds the numbers. Thresholds for masks and presence in `config.json`, and
the share of an example beside a text, were calibrated on validation scenes.

## How it was made

CLIP and decoder in three stretches (the recipes are in the project's `examples/recipes`, and its
`examples/make_emoji_tiny.py` does all of it): CLIP by `emoji-clip.yaml` with the ordinary contrastive loss, by
`emoji-clip-longer.yaml` with hard negatives, and by `emoji-clip-regions.yaml`, where its patches also learn to name the
seen things that they show; the decoder by `emoji-tiny.yaml`, `emoji-tiny-longer.yaml` and `emoji-tiny-regions.yaml`,
each on the frozen CLIP of its stretch. Then `emoji-prompt-attention.yaml` put the attention beside the decoder and
trained both, a quarter of the prompts without it, and `emoji-larger-pictures.yaml` went on with pictures of 320 x 320
pixels in place of 256 x 256. From there two went on, `emoji-wider-examples.yaml` with more of examples and
`emoji-other-scenes.yaml` with other scenes and more that is absent; their weights are averaged. From the average two
went on once more, on the same scenes, with more examples and more that is absent: `emoji-mostly-examples.yaml` and
`emoji-other-scenes-again.yaml`; the average and these two are averaged again. From that two went on by examples that
are cut out on plain ground, `emoji-cut-out-examples.yaml` and `emoji-cut-out-examples-other-scenes.yaml`, and are
averaged with it. On that `emoji-refiner.yaml` trained the refiner alone. In the end CLIP got a seventh block on top,
which `emoji-clip-examples.yaml` taught the names of things that are cut out so, and of which a part is kept; all below
stayed as it was, and with it what the decoder reads, which was put on that CLIP by `put_on_clip.py` without further
training. (Here CLIP and the decoder went into the fourth and the fifth stretch of the decoder and into the last two as
an earlier emoji-tiny had shipped them, rounded to float16, and so did CLIP into its last stretch; the script takes them
as they were trained.) `recipe.yaml` and `recipe-2.yaml` are the last two of the decoder as they ran, `recipe-3.yaml` to
`recipe-6.yaml` those of the averages before; `refiner-recipe.yaml` is the refiner's; `provenance.json` and its like say
with which versions, data and seed; `pretraining.json` is the last of CLIP, with its accuracy at naming emoji that are
cut out.

## Licence

MIT. Trained on scenes of emoji of the Noto Color Emoji font (SIL Open Font License 1.1) drawn by clipseg-hf.
"""


FILES = ("processor_config.json", "tokenizer.json", "tokenizer_config.json")
TABLE = """\
| prompt | seen, 0.5 | unseen, 0.5 | seen, 0.3 | unseen, 0.3 | relations, 0.5 | boundary, 0.5 | AUROC | phrases |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path, help="folder of the finished model, with its refiner")
    parser.add_argument("decoder", type=Path, help="folder of the finished model that the refiner was put on")
    parser.add_argument("clip", type=Path, help="folder of its CLIP, for pretraining.json")
    parser.add_argument("measured", type=Path, help="what measure_emoji_tiny.py wrote; may not exist yet")
    parser.add_argument("output", type=Path, help="folder to write")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)

    weights = load_file(given.model / "model.safetensors")
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    save_file(half, given.output / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((given.model / "config.json").read_text(encoding="utf-8"))
    config["dtype"] = "float32"
    for name in ("base_model_name_or_path", "base_model_revision"):
        config.pop(name, None)  # the CLIP is inside
    _put_beside(given, config)
    for name in FILES:
        _copy(given.model / name, given.output / name)
    for note in sorted((*given.decoder.glob("recipe*.yaml"), *given.decoder.glob("provenance*.json"))):
        _copy(note, given.output / note.name)  # of an average those of each part
    for name in ("recipe.yaml", "provenance.json"):
        _copy(given.model / name, given.output / f"refiner-{name}")
    _copy(given.clip / "pretraining.json", given.output / "pretraining.json")

    if given.measured.is_file():
        _copy(given.measured, given.output / "measured.json")
        measured = json.loads(given.measured.read_text(encoding="utf-8"))
        sizes = {name: tensor.numel() for name, tensor in weights.items()}
        beside = {
            part.field: sum(tensor.numel() for tensor in load_file(given.output / part.file).values())
            for part in ALL_BESIDE
        }
        processor = json.loads((given.output / "processor_config.json").read_text(encoding="utf-8"))
        shown = processor["visual_prompt_settings"]
        ground = "on plain ground" if shown["background"] == 0 else "on its dimmed surroundings"
        card = CARD.format(
            weight=config.get("image_prompt_weight", 0.5),
            shown=f"{ground} with {shown['context']:.0%} of its size on each side",
            parameters=sum(sizes.values()) / 1e6,
            trainable=sum(size for name, size in sizes.items() if name.startswith("decoder.")) / 1e6,
            **beside,
            tables="\n\n".join(
                f"{title.capitalize()}:\n\n{TABLE}{_rows(measured[n])}" for n, (title, *_) in WAYS.items()
            ),
            **{key: measured[key] for key in ("data", "script")},
        )
        (given.output / "README.md").write_text(card, encoding="utf-8")


def _put_beside(given: argparse.Namespace, config: dict) -> None:
    """Write the configuration, and what stands beside the decoder for one whose weights have been rounded."""
    path = given.output / "config.json"
    beside = {part.field: config.pop(part.field) for part in ALL_BESIDE}
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    trained = CLIPSegForImageSegmentation.from_pretrained(given.model)
    for part in ALL_BESIDE:  # of an earlier pack, and of another decoder
        (given.output / part.file).unlink(missing_ok=True)
    packed = CLIPSegForImageSegmentation.from_pretrained(given.output, **beside)
    weights = trained.state_dict()
    packed.load_state_dict({name: weights[name] for name in names_beside(trained)}, strict=False)
    save_beside(packed, given.output)
    path.write_text(json.dumps(config | beside, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _copy(source: Path, target: Path) -> None:
    if source.resolve() != target.resolve():
        shutil.copy(source, target)


def _rows(numbers: dict) -> str:
    names = {"text": "text", "image": "example image", "mix": "both"}
    return "\n".join(
        f"| {names[kind]} | {v['seen']:.3f} | {v['unseen']:.3f} | {v['seen_0.3']:.3f} | {v['unseen_0.3']:.3f} "
        f"| {'-' if v['relations'] is None else format(v['relations'], '.3f')} | {v['boundary']:.3f} "
        f"| {v['auroc']:.3f} | {v['samples']} |"
        for kind, v in numbers.items()
    )


if __name__ == "__main__":
    main()
