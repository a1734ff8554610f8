"""What is trained and what is not."""

import copy

import pytest
import torch

from clipseg_hf.modeling import CLIPSegForImageSegmentation


@pytest.fixture
def fresh(tiny):
    torch.manual_seed(0)
    return CLIPSegForImageSegmentation.from_clip(
        tiny.clip(), extract_layers=(0, 1, 3), reduce_dim=16, use_complex_transposed_convolution=True
    )


@pytest.fixture
def batch(tiny):
    labels = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)).round()
    return {
        "pixel_values": tiny.images(2),
        "input_ids": tiny.tokens(3),
        "prompt_to_image": torch.tensor([0, 0, 1]),
        "labels": labels,
    }


def test_a_fresh_model_starts_at_a_sane_scale(fresh, batch):
    outputs = fresh(**batch)
    assert 0.001 < outputs.logits.std() < 1
    assert outputs.loss.item() == pytest.approx(0.693, abs=0.1)  # ln 2: nothing is known yet


def test_every_decoder_weight_learns_and_no_clip_weight_does(fresh, batch):
    fresh.train()
    assert fresh.decoder.training
    assert not any(module.training for module in fresh.clip.modules())
    fresh(**batch).loss.backward()
    for name, parameter in fresh.named_parameters():
        if name.startswith("clip."):
            assert parameter.grad is None
            assert not parameter.requires_grad
        else:
            assert torch.isfinite(parameter.grad).all()
            if not name.endswith("k_proj.bias"):  # adds the same to all scores of a query, which softmax undoes
                assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("way", ["constructor", "from_pretrained", "from_clip", "deepcopy"])
def test_clip_is_frozen_whatever_a_model_came_from(tiny, fresh, tmp_path, way):
    if way == "constructor":
        model = CLIPSegForImageSegmentation(fresh.config)
    elif way == "from_pretrained":
        fresh.save_pretrained(tmp_path)
        model = CLIPSegForImageSegmentation.from_pretrained(tmp_path)
    else:
        model = fresh if way == "from_clip" else copy.deepcopy(fresh)
    assert not any(parameter.requires_grad for parameter in model.clip.parameters())
    assert all(parameter.requires_grad for parameter in model.decoder.parameters())
    assert not model.train().clip.training


def test_no_graph_is_kept_of_a_frozen_clip(fresh, batch):
    features = fresh.get_vision_features(batch["pixel_values"])
    embeddings = fresh.get_conditional_embeddings(input_ids=batch["input_ids"])
    assert not any(embeds.requires_grad for embeds in (*features.vision_embeds, embeddings))


def test_after_unfreezing_gradients_reach_clip(fresh, batch, tiny):
    fresh.unfreeze_clip()
    assert fresh.train().clip.training
    fresh(**batch).loss.backward()
    layers = fresh.clip.vision_model.encoder.layers
    assert layers[0].mlp.fc1.weight.grad.abs().max() > 0
    assert layers[3].mlp.fc1.weight.grad.abs().max() > 0
    assert layers[4].mlp.fc1.weight.grad is None  # beyond the last layer that is read
    assert fresh.clip.text_projection.weight.grad.abs().max() > 0

    fresh.zero_grad()
    fresh.freeze_clip()
    assert not fresh.clip.training
    fresh(**batch).loss.backward()
    assert all(parameter.grad is None for parameter in fresh.clip.parameters())


def test_gradients_reach_given_embeddings(fresh, batch):
    """Prompt tuning."""
    embeddings = torch.randn(3, 24, requires_grad=True)
    inputs = {name: batch[name] for name in ("pixel_values", "prompt_to_image", "labels")}
    fresh(**inputs, conditional_embeddings=embeddings).loss.backward()
    assert (embeddings.grad.abs().amax(1) > 0).all()


def test_gradients_reach_the_pixels_of_a_frozen_model(fresh, batch):
    """Saliency: an input that wants a gradient gets one."""
    pixel_values = batch["pixel_values"].requires_grad_()
    fresh(**batch | {"pixel_values": pixel_values}).loss.backward()
    assert pixel_values.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in fresh.clip.parameters())


def test_gradients_are_those_of_prompts_one_by_one(fresh, batch):
    fresh(**batch).loss.backward()
    together = [parameter.grad.clone() for parameter in fresh.decoder.parameters()]
    fresh.zero_grad()
    for number, image in enumerate(batch["prompt_to_image"].tolist()):
        loss = fresh(
            pixel_values=batch["pixel_values"][image : image + 1],
            input_ids=batch["input_ids"][number : number + 1],
            labels=batch["labels"][number : number + 1],
        ).loss
        (loss / 3).backward()
    for found, parameter in zip(together, fresh.decoder.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad, atol=1e-5, rtol=1e-3)


def test_a_few_steps_lower_the_loss(fresh, batch):
    optimizer = torch.optim.AdamW([p for p in fresh.parameters() if p.requires_grad], lr=1e-2)
    batch["labels"] = torch.zeros(3, 64, 64)
    batch["labels"][:, :32] = 1
    fresh.train()
    losses = []
    for _ in range(30):
        loss = fresh(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
