"""CLIPSeg: a frozen CLIP and a small trainable decoder that segments whatever a text or an image asks for."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.utils import can_return_tuple

from clipseg_hf._counted import counted
from clipseg_hf.modeling.configuration import (
    get_field,
    has_tokens_beside,
    row_width,
    vision_fields,
    weight_beside_text,
)
from clipseg_hf.modeling.grids import patch_grid
from clipseg_hf.modeling.layers.conditioning import kinds_of_prompts, mix_prompts, resolve_prompt_to_image
from clipseg_hf.modeling.layers.onednn import onednn_inference
from clipseg_hf.modeling.layers.prompt_tokens import PromptTokens
from clipseg_hf.modeling.layers.refiner import PixelRefiner
from clipseg_hf.modeling.layers.vision import embed_tokens, extract_activations, run_masked_images
from clipseg_hf.modeling.loss import segmentation_loss
from clipseg_hf.modeling.outputs import CLIPSegImageSegmentationOutput, CLIPSegVisionFeatures
from clipseg_hf.modeling.pretrained import CLIPSegPreTrainedModel
from clipseg_hf.modeling.tensor_inputs import require_tensors


class CLIPSegForImageSegmentation(CLIPSegPreTrainedModel):
    """CLIPSeg with text prompts, image prompts and mixtures of both, any number of them for each image.

    A drop-in for the class of the same name in transformers: same checkpoints, same names of weights, same order of
    arguments, same numbers. CLIP is frozen: it needs no gradients, stays in evaluation mode under `train()`, and runs
    only as far as the decoder looks.
    """

    # The three steps

    def get_vision_features(self, pixel_values: Tensor, interpolate_pos_encoding: bool = True) -> CLIPSegVisionFeatures:
        """What the decoder needs to know of the query images; keep it to ask the same images again.

        Args:
            pixel_values: (B, 3, H, W), normalised; H and W any multiples of the patch size.

        Raises:
            TypeError: if they are no tensor.
            ValueError: if the patch size does not divide H and W, with the nearest sizes that work.
        """
        require_tensors(pixel_values=pixel_values)
        grid = patch_grid(pixel_values, vision_fields(self.config).patch_size)
        with self.clip_gradients(pixel_values), onednn_inference(pixel_values):
            activations = extract_activations(
                self.clip.vision_model, pixel_values, self.config.extract_layers, interpolate_pos_encoding
            )
        return CLIPSegVisionFeatures(activations, grid, self._encode_pixels(pixel_values))

    def _encode_pixels(self, pixel_values: Tensor) -> tuple[Tensor, ...] | None:
        return None if self.refiner is None else self.refiner.encode(pixel_values)

    def get_conditional_embeddings(
        self,
        batch_size: int | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        conditional_pixel_values: Tensor | None = None,
        *,
        conditional_masks: Tensor | None = None,
        mask_mode: str = "cls_all",
        image_prompt_weight: float | Tensor | None = None,
        text_to_prompt: Tensor | None = None,
        conditional_to_prompt: Tensor | None = None,
    ) -> Tensor:
        """The prompt vectors: CLIP's (unnormalised) embeddings of texts, of images, or mixtures of both.

        Where the decoder attends to a prompt's tokens (`config.prompt_tokens`), they follow its vector in the same row.

        Args:
            batch_size: N, the number of prompts, to be checked; may be left out.
            input_ids: (T, L), tokenised texts; with `attention_mask` and `position_ids` of the same shape.
            conditional_pixel_values: (S, 3, h, w), image prompts.
            conditional_masks: (S, any, any); CLIP-based masking: steers CLIP's attention to the mask (see
                `run_masked_images`). The processor's visual prompts do this better, on the image itself.
            mask_mode: "cls_last", "cls_all" or "patches_all"; read with `conditional_masks` only.
            image_prompt_weight: a in x = a * image + (1 - a) * text, one for all or (N,), in [0, 1]; None: the
                checkpoint's own (`config.image_prompt_weight`), or 0.5. A prompt that has only a text or only an image
                uses that one.
            text_to_prompt: (T,), the prompt of each text, several texts of one prompt are averaged; None: T == N.
            conditional_to_prompt: (S,), the prompt of each image, several images are averaged (k-shot); None: S == N.

        Returns:
            (N, projection_dim); with `prompt_tokens` (N, (1 + text + image) * projection_dim).

        Raises:
            TypeError: if texts, images or masks are no tensors.
            ValueError: if they do not fit together.
        """
        require_tensors(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            conditional_pixel_values=conditional_pixel_values,
            conditional_masks=conditional_masks,
        )
        image_prompt_weight = weight_beside_text(self.config, image_prompt_weight)
        texts = images = None
        tokens = PromptTokens.of(self.config)
        if input_ids is not None and input_ids.shape[0] == 0:
            texts = self.clip.logit_scale.new_empty(0, row_width(self.config))
        elif input_ids is not None:
            with self.clip_gradients(), onednn_inference(input_ids):
                found = self.clip.get_text_features(input_ids, attention_mask=attention_mask, position_ids=position_ids)
                texts = found.pooler_output  # (T, D)
                if tokens:
                    words = self.clip.text_projection(found.last_hidden_state)
                    texts = tokens.of_texts(texts, words, attention_mask)
        if conditional_pixel_values is not None:
            images = self._encode_image_prompts(conditional_pixel_values, conditional_masks, mask_mode)  # (S, D)
        elif conditional_masks is not None:
            raise ValueError("conditional_masks need conditional_pixel_values, the images that they belong to")
        return mix_prompts(
            texts, images, text_to_prompt, conditional_to_prompt, image_prompt_weight, num_prompts=batch_size
        )

    def _encode_image_prompts(self, pixel_values: Tensor, masks: Tensor | None, mask_mode: str) -> Tensor:
        if pixel_values.shape[0] == 0:
            return self.clip.logit_scale.new_empty(0, row_width(self.config))
        grid = patch_grid(pixel_values, vision_fields(self.config).patch_size, "conditional_pixel_values")
        tokens = PromptTokens.of(self.config)
        with self.clip_gradients(pixel_values, masks), onednn_inference(pixel_values):
            if masks is None:
                found = self.clip.get_image_features(pixel_values, interpolate_pos_encoding=True)
                hidden_states, images = found.last_hidden_state, found.pooler_output  # (S, 1 + patches, width), (S, D)
            else:
                hidden_states = run_masked_images(self.clip, pixel_values, masks, mask_mode)
                images = embed_tokens(self.clip, hidden_states[:, 0])
            if not tokens:
                return images
            patches = embed_tokens(self.clip, hidden_states[:, 1:])
            return tokens.of_images(images, patches.unflatten(1, grid))

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        conditional_pixel_values: Tensor | None = None,
        conditional_embeddings: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        interpolate_pos_encoding: bool = True,
        *,
        vision_embeds: CLIPSegVisionFeatures | None = None,
        prompt_to_image: Tensor | None = None,
        image_prompt_weight: float | Tensor | None = None,
        text_to_prompt: Tensor | None = None,
        conditional_to_prompt: Tensor | None = None,
        conditional_masks: Tensor | None = None,
        mask_mode: str = "cls_all",
        ignore_index: float | Tensor | None = None,
        decode_chunk_size: int | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        original_sizes: Any = None,
    ) -> CLIPSegImageSegmentationOutput:
        """Segment B images by N prompts.

        Args:
            pixel_values: (B, 3, H, W), normalised; H and W any multiples of the patch size.
            vision_embeds: in place of `pixel_values`, what `get_vision_features` gave for them. Beside them only where
                there is a refiner and they hold no `pixel_features`: then it reads the pixels, and nothing else does.
            input_ids, attention_mask, position_ids: the prompts, see `get_conditional_embeddings`.
            conditional_pixel_values, conditional_masks, mask_mode: likewise.
            image_prompt_weight, text_to_prompt, conditional_to_prompt: likewise.
            conditional_embeddings: as that gives them, in place of texts and images. Gradients flow into them. Where
                attention to prompts' tokens stands beside the decoder, so do bare vectors (N, projection_dim), and give
                the decoder's own logits.
            prompt_to_image: (N,), the image that each prompt asks about. Left out, N == B pairs them one to one and
                B == 1 asks all of the one image.
            labels: (N, h, w), bool, integer or float in [0, 1]; of any size, the logits are resized to it.
            ignore_index: label value of pixels to leave out of the loss.
            decode_chunk_size: prompts decoded at once; bounds the memory, changes no number. None chooses.
            output_hidden_states, output_attentions: as in stock; they cost the layers of CLIP that nothing else needs.
            original_sizes: not read; the processor puts it into the same dictionary as the inputs.

        Returns:
            `logits` (N, H, W), `conditional_embeddings`, `prompt_to_image` and, with labels, `loss`; and, as attribute,
            `prompt_kinds`.

        Raises:
            TypeError: if images, prompts or labels are no tensors.
            ValueError: if images, prompts or labels are missing or do not fit together.
        """
        require_tensors(pixel_values=pixel_values, conditional_embeddings=conditional_embeddings, labels=labels)
        wants_hidden = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        wants_attentions = self.config.output_attentions if output_attentions is None else output_attentions

        # step 1: the query images, once each
        vision_output: Any = None
        if vision_embeds is not None and (pixel_values is None or self._lacks_pixels(vision_embeds)):
            features = self._check_features(vision_embeds, pixel_values)
        elif vision_embeds is not None or pixel_values is None:
            raise ValueError("pass the query images either as pixel_values or as vision_embeds (one of both)")
        elif wants_hidden or wants_attentions:
            features, vision_output = self._run_whole_tower(pixel_values, interpolate_pos_encoding, wants_attentions)
        else:
            features = self.get_vision_features(pixel_values, interpolate_pos_encoding)

        # step 2: the prompts
        kinds = None
        if prompt_to_image is not None:
            prompt_to_image = torch.as_tensor(prompt_to_image)
        prompts = {"input_ids": input_ids, "conditional_pixel_values": conditional_pixel_values}
        if conditional_embeddings is None:
            if input_ids is None and conditional_pixel_values is None:
                raise ValueError(NO_PROMPT)
            conditional_embeddings = self.get_conditional_embeddings(
                batch_size=None if prompt_to_image is None else prompt_to_image.shape[0],
                **prompts,
                attention_mask=attention_mask,
                position_ids=position_ids,
                conditional_masks=conditional_masks,
                mask_mode=mask_mode,
                image_prompt_weight=image_prompt_weight,
                text_to_prompt=text_to_prompt,
                conditional_to_prompt=conditional_to_prompt,
            )
            if not torch.compiler.is_compiling():
                count = conditional_embeddings.shape[0]
                kinds = kinds_of_prompts(
                    count, input_ids, conditional_pixel_values, text_to_prompt, conditional_to_prompt
                )
        else:
            conditional_embeddings = self._take_embeddings(conditional_embeddings, **prompts)
        prompt_to_image = resolve_prompt_to_image(
            prompt_to_image, conditional_embeddings.shape[0], features.num_images, conditional_embeddings.device
        )

        # step 3: the masks
        with onednn_inference(conditional_embeddings):
            decoder_output = self.decoder(
                features.vision_embeds,
                conditional_embeddings,
                features.grid,
                prompt_to_image,
                decode_chunk_size=decode_chunk_size,
                output_hidden_states=bool(wants_hidden),
                output_attentions=bool(wants_attentions),
                refine=None if self.refiner is None else partial(self._refine, self.refiner, features.pixel_features),
            )
        loss = None
        if labels is not None:
            loss_type = get_field(self.config, "loss_type")
            loss = segmentation_loss(decoder_output.logits, labels, loss_type, ignore_index)
        output = CLIPSegImageSegmentationOutput(
            loss=loss,
            logits=decoder_output.logits,
            conditional_embeddings=conditional_embeddings,
            pooled_output=None if vision_output is None else vision_output.pooler_output,
            vision_model_output=vision_output,
            decoder_output=decoder_output,
            prompt_to_image=prompt_to_image,
        )
        if kinds is not None:
            output.prompt_kinds = kinds
        return output

    @property  # type: ignore[misc]  # stock's can be set, this one follows the configuration
    def loss_function(self) -> Callable[..., Tensor]:
        """The loss by `config.loss_type`, of logits and labels. In transformers the same field names its own losses."""
        return partial(segmentation_loss, loss_type=get_field(self.config, "loss_type"))

    def _run_whole_tower(
        self, pixel_values: Tensor, interpolate_pos_encoding: bool, output_attentions: bool
    ) -> tuple[CLIPSegVisionFeatures, Any]:
        """All of CLIP's vision layers, for those who want to see their hidden states."""
        grid = patch_grid(pixel_values, vision_fields(self.config).patch_size)
        with self.clip_gradients(pixel_values), onednn_inference(pixel_values):
            output = self.clip.get_image_features(
                pixel_values,
                interpolate_pos_encoding=interpolate_pos_encoding,
                output_hidden_states=True,
                output_attentions=output_attentions,
            )
        # hidden_states begin with the embeddings, so a layer's output is one further on
        activations = tuple(output.hidden_states[layer + 1] for layer in self.config.extract_layers)
        return CLIPSegVisionFeatures(activations, grid, self._encode_pixels(pixel_values)), output

    @staticmethod
    def _refine(
        refiner: PixelRefiner, pixel_features: Any, patches: Tensor, logits: Tensor, prompt_to_image: Tensor
    ) -> Tensor:
        """(B, c, h, w) each, (n, R, C, D), (n, H, W), (n,) -> (n, H, W)."""
        if len(pixel_features[0]) > 1:  # those of a single image are broadcast, not copied
            pixel_features = tuple(features[prompt_to_image] for features in pixel_features)
        return refiner(patches, logits, pixel_features)

    def _lacks_pixels(self, features: Any) -> bool:
        return self.refiner is not None and getattr(features, "pixel_features", None) is None

    def _check_features(self, features: CLIPSegVisionFeatures, pixel_values: Tensor | None) -> CLIPSegVisionFeatures:
        if not isinstance(features, CLIPSegVisionFeatures):
            raise TypeError(f"vision_embeds is a {type(features).__name__}, expected what get_vision_features returns")
        found, expected = len(features.vision_embeds), len(self.config.extract_layers)
        if found != expected:
            raise ValueError(
                f"vision_embeds hold {counted(found, 'activation')}, this model reads {expected} "
                f"(extract_layers={list(self.config.extract_layers)}): they come from another model"
            )
        if not self._lacks_pixels(features):
            return features
        if pixel_values is None:
            raise ValueError(
                "vision_embeds hold no pixel_features, which this model's refiner reads: they come from a model "
                "without one. Make them by this model's get_vision_features, or pass their pixel_values, too"
            )
        return CLIPSegVisionFeatures(features.vision_embeds, features.grid, self._encode_pixels(pixel_values))

    def _take_embeddings(self, embeddings: Tensor, **prompts: Tensor | None) -> Tensor:
        """The rows that were given, those of bare vectors filled up where the decoder can do without tokens."""
        given = [name for name, value in prompts.items() if value is not None]
        if given:
            raise ValueError(f"conditional_embeddings stand in place of {' and '.join(given)}: pass one or the other")
        width, tokens = row_width(self.config), PromptTokens.of(self.config)
        vector, takes_vectors = self.config.projection_dim, has_tokens_beside(self.config)
        if takes_vectors and embeddings.ndim == 2 and embeddings.shape[1] == vector:
            return pad(embeddings, (0, width - vector))
        if embeddings.ndim != 2 or embeddings.shape[1] != width:
            kind = f"each a vector and {tokens.text + tokens.image} tokens" if tokens else "vectors"
            expected = f"(prompts, {vector}) or (prompts, {width})" if takes_vectors else f"(prompts, {width})"
            raise ValueError(
                f"conditional_embeddings have the shape {tuple(embeddings.shape)}, expected {expected}: {kind} of this "
                "model's CLIP"
            )
        return embeddings


NO_PROMPT = (
    "no prompt: pass input_ids, conditional_pixel_values or conditional_embeddings, as made by "
    "`clipseg_hf.CLIPSegProcessor(images=..., text=...)`. CLIPSeg segments what a prompt asks for, so pipelines that "
    'know only images, such as transformers\' "image-segmentation", cannot run it; use the model with its processor'
)
