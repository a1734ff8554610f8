"""Lists and arrays in place of tensors, as a processor gives them that was not told otherwise."""

import pytest
import torch

GIVEN = {
    "input_ids": torch.tensor([[98, 5, 99]]),
    "attention_mask": torch.ones(1, 3, dtype=torch.long),
    "position_ids": torch.arange(3)[None],
    "pixel_values": torch.zeros(1, 3, 64, 64),
    "labels": torch.zeros(1, 64, 64),
}
SHOWN = {"conditional_pixel_values": torch.zeros(1, 3, 64, 64), "conditional_masks": torch.ones(1, 64, 64)}


@pytest.mark.parametrize("other", [torch.Tensor.tolist, torch.Tensor.numpy], ids=["list", "array"])
def test_inputs_that_are_no_tensors(model, other):
    assert model(**GIVEN).loss is not None and model.get_conditional_embeddings(**SHOWN).shape == (1, 24)
    vector = torch.zeros(1, model.config.projection_dim)
    calls = [(model, GIVEN, name) for name in GIVEN] + [
        (model.get_conditional_embeddings, SHOWN, name) for name in SHOWN
    ]
    calls.append((model.get_vision_features, {"pixel_values": GIVEN["pixel_values"]}, "pixel_values"))
    asked = {"pixel_values": GIVEN["pixel_values"], "conditional_embeddings": vector}
    calls.append((model, asked, "conditional_embeddings"))
    for function, inputs, name in calls:
        wrong = other(inputs[name])
        message = (
            rf'^{name} is a {type(wrong).__name__}, expected a torch\.Tensor: pass return_tensors="pt" to the proc'
        )
        with pytest.raises(TypeError, match=message):
            function(**inputs | {name: wrong})
