"""The model as ONNX graphs: one for everything, and one for each of its three steps.

`model.onnx` has the inputs and the output by which Transformers.js knows CLIPSeg. The others are for those who ask
often, and keep what is costly: `image_encoder`, `prompt_encoder_text`, `prompt_encoder_image` and `decoder`.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.modeling.configuration import row_width

OPSET = 18


@dataclass
class Graph:
    """One part of the model, with what `torch.onnx.export` needs to know of it.

    Attributes:
        name: of its file.
        module: takes the inputs by name.
        inputs: examples.
        dims: as `inputs`, axis -> what to call it in the graph; an axis without a name keeps its length.
        input_names, output_names: in the graph.
    """

    name: str
    module: nn.Module
    inputs: dict[str, Any]
    dims: dict[str, Any]
    input_names: list[str]
    output_names: list[str]


def make_graphs(model: CLIPSegForImageSegmentation) -> list[Graph]:
    """The five graphs of a model, with example inputs of which the exporter learns no more than their shapes."""
    config: Any = model.config  # transformers declares it wider than it is once made
    vision, patch = config.vision_config, config.vision_config.patch_size
    rows = vision.image_size // patch + 1  # another grid than the position embeddings', which is then resized
    columns = rows + 2
    pixels = torch.zeros(2, 3, rows * patch, columns * patch)
    ids = torch.full((2, 5), config.text_config.eos_token_id)
    texts = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    names = [f"activation_{layer}" for layer in config.extract_layers]
    seen = [f"pixel_features_{number}" for number in range(2)] if model.refiner is not None else []
    decoded: dict[str, Any] = {
        "conditional_embeddings": torch.zeros(2, row_width(config)),
        "grid": torch.tensor((rows, columns)),
        "activations": [torch.zeros(1, 1 + rows * columns, vision.hidden_size) for _ in names],
    }
    size, length = {2: "height", 3: "width"}, {name: {0: "prompts", 1: "length"} for name in texts}
    if seen:
        features = model.get_vision_features(torch.zeros(1, 3, rows * patch, columns * patch))
        decoded["pixel_features"] = [torch.zeros_like(part) for part in features.pixel_features or ()]
    some, vectors = {0: "prompts"}, ["conditional_embeddings"]
    decoded_dims = {"conditional_embeddings": some, "grid": {}, "activations": [{1: "tokens"} for _ in names]}
    if seen:
        decoded_dims["pixel_features"] = [{2: f"height_{n}", 3: f"width_{n}"} for n in range(len(seen))]
    examples, example_dims = {"conditional_pixel_values": pixels}, {"conditional_pixel_values": some | size}
    picture, picture_dims = {"pixel_values": pixels[:1]}, {"pixel_values": size}
    return [
        Graph("model", _Whole(model), picture | texts, picture_dims | length, [*picture, *texts], ["logits"]),
        Graph("image_encoder", _ImageEncoder(model), picture, picture_dims, [*picture], [*names, *seen]),
        Graph("prompt_encoder_text", _TextEncoder(model), texts, length, [*texts], vectors),
        Graph("prompt_encoder_image", _ExampleEncoder(model), examples, example_dims, [*examples], vectors),
        Graph("decoder", _Decoder(model), decoded, decoded_dims, [*vectors, "grid", *names, *seen], ["logits"]),
    ]


def write_graph(graph: Graph, folder: Path) -> Path:
    """Write `NAME.onnx`, in the precision and mode that the module is in."""
    path = folder / f"{graph.name}.onnx"
    with _quiet(), torch.no_grad():
        program: Any = torch.onnx.export(
            graph.module,
            kwargs=graph.inputs,
            dynamic_shapes=graph.dims,
            input_names=graph.input_names,
            output_names=graph.output_names,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        _forget_where_it_was_made(program.model)
        program.save(path)
    return path


def _forget_where_it_was_made(model: Any) -> None:
    """Without the exporter's notes, which name files of this machine; of each node the module that it is of stays."""
    for part in (model, model.graph, *model.graph.inputs, *model.graph.initializers.values()):
        part.metadata_props.clear()
    for node in model.graph.all_nodes():
        namespace = node.metadata_props.get("namespace")
        for part in (node, *node.outputs):
            part.metadata_props.clear()
        if namespace:
            node.metadata_props["namespace"] = namespace


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells of operators that it lacks and nobody uses, and warns of its own ways."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


class _Part(nn.Module):
    def __init__(self, model: CLIPSegForImageSegmentation):
        super().__init__()
        self.model = model


class _Whole(_Part):
    def forward(self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(1, 3, H, W), (N, L) twice -> (N, H, W)."""
        return self.model(pixel_values=pixel_values, input_ids=input_ids, attention_mask=attention_mask).logits


class _ImageEncoder(_Part):
    def forward(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """(1, 3, H, W) -> (1, 1 + rows * columns, width) for each layer that the decoder reads, and what a refiner
        reads off the pixels."""
        features = self.model.get_vision_features(pixel_values)
        return (*features.vision_embeds, *(features.pixel_features or ()))


class _TextEncoder(_Part):
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(N, L) twice -> (N, D)."""
        return self.model.get_conditional_embeddings(input_ids=input_ids, attention_mask=attention_mask)


class _ExampleEncoder(_Part):
    def forward(self, conditional_pixel_values: Tensor) -> Tensor:
        """(N, 3, h, w) -> (N, D)."""
        return self.model.get_conditional_embeddings(conditional_pixel_values=conditional_pixel_values)


class _Decoder(_Part):
    def forward(
        self,
        conditional_embeddings: Tensor,
        grid: Tensor,
        activations: list[Tensor],
        pixel_features: list[Tensor] | None = None,
    ) -> Tensor:
        """(N, D), (2,) the rows and columns of patches, what the image encoder gave for one image -> (N, H, W)."""
        rows, columns = grid.tolist()
        # what the exporter cannot know of numbers inside of a tensor
        torch._check(rows >= 1)
        torch._check(columns >= 1)
        torch._check(rows * columns + 1 == activations[0].shape[1])
        of_one = torch.zeros(conditional_embeddings.shape[0], dtype=torch.long)
        refine = None
        if pixel_features is not None and self.model.refiner is not None:
            vision: Any = self.model.config.vision_config
            for axis, count in ((2, rows), (3, columns)):
                half = (count * vision.patch_size + 1) // 2
                torch._check(pixel_features[0].shape[axis] == half)
                torch._check(pixel_features[1].shape[axis] == (half + 1) // 2)
            refine = partial(self.model._refine, self.model.refiner, pixel_features)
        return self.model.decoder(activations, conditional_embeddings, (rows, columns), of_one, refine=refine).logits
