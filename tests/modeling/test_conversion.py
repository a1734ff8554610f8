"""Original `.pth` files, as published, under our names."""

import json

import pytest
import torch

from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.modeling.conversion import convert_original_checkpoint, load_openai_clip


@pytest.fixture(scope="module")
def names(tiny):
    """A tiny decoder under the original names, as `torch.save` wrote it: stacked projections and an unused layer."""
    decoder = tiny.model(extract_layers=[0, 1, 3], reduce_dim=16).decoder
    state = dict(decoder.state_dict())
    original = {"reduce.weight": torch.zeros(16, 48), "reduce.bias": torch.zeros(16)}
    for number in range(3):
        attention = f"layers.{number}.self_attn"
        for kind in ("weight", "bias"):
            parts = [state.pop(f"{attention}.{letter}_proj.{kind}") for letter in "qkv"]
            original[f"blocks.{number}.self_attn.in_proj_{kind}"] = torch.cat(parts)
            original[f"blocks.{number}.self_attn.out_proj.{kind}"] = state.pop(f"{attention}.out_proj.{kind}")
            for part in (1, 2):
                original[f"blocks.{number}.linear{part}.{kind}"] = state.pop(f"layers.{number}.mlp.fc{part}.{kind}")
                original[f"blocks.{number}.norm{part}.{kind}"] = state.pop(f"layers.{number}.layer_norm{part}.{kind}")
    for kind in ("weight", "bias"):
        original[f"trans_conv.{kind}"] = state.pop(f"transposed_convolution.{kind}")
    return original | state


def convert(checkpoint, tiny) -> CLIPSegForImageSegmentation:
    return convert_original_checkpoint(checkpoint, tiny.clip(), extract_layers=(0, 1, 3))


def test_a_file_is_read_with_nothing_but_tensors_in_mind(names, tiny, tmp_path):
    torch.save(names, tmp_path / "rd16.pth")
    model = convert(tmp_path / "rd16.pth", tiny)
    expected = tiny.model().decoder.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.decoder.state_dict().items())
    assert (model.config.reduce_dim, model.config.decoder_intermediate_size) == (16, 64)

    class Payload:
        def __reduce__(self):
            return (print, ("never",))

    torch.save(names | {"film_mul.weight": Payload()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match=r"evil\.pth: it holds no PyTorch weights, or more than can be read safely"):
        convert(tmp_path / "evil.pth", tiny)
    with pytest.raises(FileNotFoundError, match=r"There is no file .*none\.pth"):
        convert(tmp_path / "none.pth", tiny)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file[:-400], r"rd16\.pth: it holds no PyTorch weights"),
        (lambda file: b"", r"rd16\.pth: it holds no PyTorch weights"),
        (lambda file: b"\x80\x02]q\x00.", r"rd16\.pth: it holds no PyTorch weights"),
    ],
)
def test_damaged_files_are_named(names, tiny, tmp_path, change, message):
    torch.save(names, tmp_path / "rd16.pth")
    (tmp_path / "rd16.pth").write_bytes(change((tmp_path / "rd16.pth").read_bytes()))
    with pytest.raises(ValueError, match=message):
        convert(tmp_path / "rd16.pth", tiny)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"film_mul.weight": torch.zeros(1).expand(10**9, 24)},
            r"film_mul\.weight is no plain tensor that fills its shape",
        ),
        ({"film_mul.weight": torch.zeros(10**9, 0)}, r"have shapes \(1000000000, 0\), .*; expected \(D, P\), \(F, D\)"),
        ({"film_mul.weight": torch.tensor(3.0)}, r"have shapes \(\), \(64, 16\), \(48, 16\); expected"),
        ({"film_mul.weight": torch.zeros(90_000, 1)}, r"have shapes \(90000, 1\), \(64, 16\), \(48, 16\); expected"),
        ({"film_mul.weight": torch.zeros(16, 24).to_sparse()}, r"film_mul\.weight is no plain tensor"),
        ({"film_mul.weight": torch.zeros(16, 24, device="meta")}, r"film_mul\.weight is no plain tensor"),
        ({"film_mul.weight": None}, r"found a str with a NoneType, expected a state dict"),
        ({3: torch.zeros(1)}, r"found a int with a Tensor, expected a state dict"),
    ],
)
def test_tensors_that_only_claim_to_be_large_make_nothing(names, tiny, changes, message):
    with pytest.raises(ValueError, match=message):
        convert(names | changes, tiny)


@pytest.mark.parametrize("kind", ["rd64_uni", "rd64_refined", "rd16_uni"])
def test_the_published_names_and_shapes(vit_b16, original_state_dicts, kind):
    model = convert_original_checkpoint(original_state_dicts(kind), vit_b16)
    assert list(model.config.extract_layers) == [3, 6, 9]
    assert model.config.reduce_dim == (16 if kind == "rd16_uni" else 64)
    assert model.config.use_complex_transposed_convolution == (kind == "rd64_refined")
    assert model.decoder.film_mul.weight.std() > 0


def test_unknown_and_missing_names_are_listed(names, tiny):
    broken = {name: tensor for name, tensor in names.items() if name not in ("film_add.bias", "blocks.1.norm1.weight")}
    message = r"unknown: extra\.weight; missing \(by their new names\): film_add\.bias, layers\.1\.layer_norm1\.weight"
    with pytest.raises(ValueError, match=message):
        convert(broken | {"extra.weight": torch.zeros(1)}, tiny)


def test_shapes_that_do_not_fit_are_named(names, tiny):
    wrong = names | {"film_mul.weight": torch.zeros(16, 99)}
    with pytest.raises(ValueError, match=r"film_mul\.weight: shape \(16, 99\) .* expected \(16, 24\)"):
        convert(wrong, tiny)
    for size in ((), (0,), (2,)):
        stacked = names | {"blocks.1.self_attn.in_proj_bias": torch.zeros(size)}
        with pytest.raises(ValueError, match=r"blocks\.1\.self_attn\.in_proj_bias: shape \(.*\) .* expected \(16,\)"):
            convert(stacked, tiny)


def test_as_many_layers_as_the_file_has_blocks(names, tiny):
    with pytest.raises(ValueError, match=r"unknown: .*blocks\.2\.linear1\.bias"):
        convert_original_checkpoint(names, tiny.clip(), extract_layers=(0, 1))


def test_another_file_is_recognised(tiny, tmp_path):
    with pytest.raises(ValueError, match=r"no checkpoint of the original CLIPSeg: it has no 'film_mul\.weight', but a"):
        convert({"a": torch.zeros(1)}, tiny)
    torch.save({"epoch": 3, "state_dict": {}}, tmp_path / "run.pth")
    with pytest.raises(ValueError, match="expected a state dict: a dictionary from names to tensors"):
        convert(tmp_path / "run.pth", tiny)


def test_openais_clip_needs_all_its_names(tiny):
    with pytest.raises(ValueError, match=r"OpenAI's CLIP checkpoint does not fit this model\. missing .* and \d+ more"):
        load_openai_clip(tiny.clip(), {"logit_scale": torch.zeros(()), "context_length": torch.tensor(77)})


def test_a_converted_model_can_be_saved_and_loaded(names, tiny, tmp_path, prompts):
    model = convert(names, tiny)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["extract_layers"] == [0, 1, 3]
    again = CLIPSegForImageSegmentation.from_pretrained(tmp_path)
    assert torch.equal(again(**prompts).logits, model(**prompts).logits)
