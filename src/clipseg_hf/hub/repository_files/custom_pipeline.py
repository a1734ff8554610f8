"""Text prompts for CLIPSeg in transformers' `pipeline`, with nothing but transformers, torch and Pillow:

    pipe = pipeline("image-segmentation", model="<this repository>", trust_remote_code=True)
    for found in pipe("street.jpg", prompts=["a dog", "a car"]):
        print(found["label"], found["score"], found["box"])

Each image is encoded once for all its prompts. Example images as prompts, and training, are in the package clipseg-hf,
whose task "prompted-image-segmentation" takes and gives the same.
"""

import re
import threading

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import Pipeline
from transformers.image_utils import load_image

SUBTASKS = ("prompted", "semantic")
PAPER_THRESHOLD = 0.3  # where the checkpoint names none
PRESENCE_SHARE = 0.01  # of the logits, the highest: how sure the model is that a thing is there at all
COMBINES = re.compile(r"[|()\"]|\s[&-]\s|\d\s*[*]\s")  # what clipseg-hf reads as more than a text
DECODED_AT_ONCE = 16  # prompts; bounds the memory
_TOKENIZING = threading.Lock()  # a tokenizer keeps how it pads and cuts, so it serves one thread at a time


class PromptedImageSegmentationPipeline(Pipeline):
    """Images in; for each prompt its label, score, mask (mode "L", 0 or 255), presence and box [x, y, width, height].

    Inputs are those of transformers' image segmentation pipeline. `prompts` are texts, by default the names in
    `config.id2label`; `threshold` is the probability above which a pixel belongs to a mask, one or one for each prompt,
    by default `config.mask_thresholds["text"]`; with `subtask="semantic"` each pixel is in one mask at most, and what
    got no pixel is left out.
    """

    _load_image_processor = _load_tokenizer = True
    _load_processor = _load_feature_extractor = _load_video_processor = False

    def _sanitize_parameters(self, prompts=None, threshold=None, subtask=None, **unknown):
        if unknown:
            raise TypeError(f"The pipeline takes prompts, threshold and subtask, got {', '.join(unknown)}.")
        if subtask is not None and subtask not in SUBTASKS:
            raise ValueError(f"subtask is one of {', '.join(SUBTASKS)}; got {subtask!r}.")
        asked = {} if prompts is None else {"asked": self._embed(prompts)}
        given = {"threshold": threshold, "subtask": subtask}
        return {}, asked, asked | {name: value for name, value in given.items() if value is not None}

    @torch.no_grad()
    def _embed(self, prompts):
        """-> the prompts and their vectors (N, D)."""
        prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        for prompt in prompts:
            if not isinstance(prompt, str):
                raise TypeError(
                    f"A prompt is a text, got a {type(prompt).__name__}; others need the package clipseg-hf."
                )
        if not prompts or not all(prompt.strip() for prompt in prompts):
            raise ValueError(f"Prompts are texts such as ['a cat', 'a dog'], got {prompts}.")
        for prompt in prompts:
            if COMBINES.search(prompt):
                raise ValueError(f"{prompt!r} combines prompts, which needs the package clipseg-hf.")
        length = min(self.tokenizer.model_max_length, self.model.config.text_config.max_position_embeddings)
        with _TOKENIZING:
            texts = self.tokenizer(prompts, padding=True, truncation=True, max_length=length, return_tensors="pt")
        names = ("input_ids", "attention_mask")
        texts = {name: texts[name].to(self.model.device) for name in names}
        return prompts, self.model.get_conditional_embeddings(batch_size=len(prompts), **texts)

    def _own(self):
        """What the checkpoint is for."""
        if not hasattr(self, "_own_asked"):
            id2label = self.model.config.id2label or {}
            labels = [str(label) for _, label in sorted(id2label.items(), key=lambda item: int(item[0]))]
            if all(re.fullmatch(r"LABEL_\d+", label) for label in labels):
                raise ValueError(
                    "There is nothing to look for: give prompts=['a cat', ...]; the checkpoint names none."
                )
            self._own_asked = self._embed(labels)
        return self._own_asked

    def preprocess(self, image):
        image = load_image(image)
        pixel_values = self.image_processor(images=image, return_tensors="pt")["pixel_values"]
        return {"pixel_values": pixel_values.to(self.dtype), "image": image}

    def _forward(self, inputs, asked=None):
        _, vectors = asked or self._own()
        vision = self.model.clip.vision_model(
            pixel_values=inputs["pixel_values"], interpolate_pos_encoding=True, output_hidden_states=True
        )
        # hidden_states begin with the embeddings, so a layer's output is one further on; each (B, tokens, width)
        activations = [vision.hidden_states[layer + 1] for layer in self.model.config.extract_layers]
        logits = []
        for number in range(len(inputs["pixel_values"])):
            parts = []
            for part in vectors.split(DECODED_AT_ONCE):
                of_image = [layer[number].expand(len(part), -1, -1) for layer in activations]
                parts.append(self.model.decoder(of_image, part).logits)
            logits.append(torch.cat(parts))
        return {"logits": torch.stack(logits).float(), "image": inputs["image"]}  # (B, N, H, W)

    def postprocess(self, outputs, asked=None, threshold=None, subtask="prompted"):
        labels, _ = asked or self._own()
        image, logits = outputs["image"], outputs["logits"][0]
        masks = self._semantic if subtask == "semantic" else self._prompted
        found = []
        thresholds = self._thresholds(threshold, len(labels))
        for number, (mask, probabilities) in enumerate(masks(logits, (image.height, image.width), thresholds)):
            picture = Image.fromarray(mask.numpy().astype(np.uint8) * 255)
            box = picture.getbbox()
            if box is None and subtask == "semantic":
                continue
            highest = logits[number].flatten().topk(max(1, round(PRESENCE_SHARE * logits[number].numel()))).values
            entry = {
                "label": labels[number],
                "score": probabilities[mask].mean().item() if box else 0.0,
                "mask": picture,
                "presence": highest.mean().sigmoid().item(),
                "box": [box[0], box[1], box[2] - box[0], box[3] - box[1]] if box else None,
            }
            found.append(entry)
        return found

    def _thresholds(self, given, prompts):
        if given is None:
            given = (getattr(self.model.config, "mask_thresholds", None) or {}).get("text", PAPER_THRESHOLD)
        values = [float(given)] * prompts if isinstance(given, (int, float)) else [float(value) for value in given]
        if len(values) != prompts or not all(0 <= value <= 1 for value in values):
            raise ValueError(
                f"threshold is a probability in [0, 1], one or one for each of {prompts} prompts: {given}."
            )
        return values

    def _prompted(self, logits, size, thresholds):
        """For each prompt its mask, and the probabilities in it, both (h, w)."""
        for one, threshold in zip(logits, thresholds, strict=True):
            probabilities = _resize(one, size)
            yield probabilities > threshold, probabilities

    def _semantic(self, logits, size, thresholds):
        """As `_prompted`, each pixel with the most probable prompt of those above their threshold."""
        best, winner = torch.zeros(size), torch.full(size, -1)
        for number, (mask, probabilities) in enumerate(self._prompted(logits, size, thresholds)):
            wins = mask & (probabilities > best)
            best[wins], winner[wins] = probabilities[wins], number
        for number in range(len(logits)):
            yield winner == number, best


def _resize(logits, size):
    """Logits (H, W) -> probabilities (h, w), by pixel centres, smoothed where they shrink."""
    probabilities = logits.sigmoid()[None, None]
    shrinks = size[0] < logits.shape[0] or size[1] < logits.shape[1]
    return F.interpolate(probabilities, size, mode="bilinear", antialias=shrinks)[0, 0].clamp(0, 1)
