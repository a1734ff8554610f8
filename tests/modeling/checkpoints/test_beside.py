"""What stands beside a decoder: stock loads the rest and warns of nothing, and its file comes back bit by bit."""

import warnings

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from clipseg_hf.modeling import CLIPSegForImageSegmentation

FIELDS = {
    "refiner": ({"refiner": {"channels": 4}}, "refiner."),
    "prompt attention": ({"prompt_tokens": {"text": 3, "image": 4, "beside": True}}, "decoder.attends."),
}


@pytest.fixture(params=FIELDS)
def part(request):
    """Its title, the option that asks for it, its weights' prefix and file."""
    fields, prefix = FIELDS[request.param]
    (option,) = fields
    return request.param, fields, prefix, f"{option}.safetensors"


@pytest.fixture
def base(tiny, tmp_path):
    """A finished checkpoint with nothing beside its decoder."""
    tiny.model().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def grown(part, base):
    """That decoder, and something trained beside it."""
    model = CLIPSegForImageSegmentation.from_pretrained(base, **part[1])
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if name.startswith(part[2]):
            torch.nn.init.normal_(weight, std=0.3)
    return model


def logits(model, prompts):
    with torch.no_grad():
        return model(**prompts).logits


def assert_same(found, expected):
    expected = expected.state_dict()
    assert found.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.state_dict().items())


def test_a_fresh_one_is_put_on_a_checkpoint_and_changes_nothing(part, base, prompts, tmp_path):
    fresh, info = CLIPSegForImageSegmentation.from_pretrained(base, **part[1], output_loading_info=True)
    assert not info["missing_keys"]
    assert any(weight.std() > 0.01 for name, weight in fresh.named_parameters() if name.startswith(part[2]))
    plain = CLIPSegForImageSegmentation.from_pretrained(base)
    assert torch.equal(logits(fresh, prompts), logits(plain, prompts))
    fresh.save_pretrained(tmp_path / "fresh")
    assert_same(CLIPSegForImageSegmentation.from_pretrained(tmp_path / "fresh"), fresh)


@pytest.mark.parametrize("shards", [{}, {"max_shard_size": "50KB"}])
def test_it_comes_back_and_stock_gives_the_decoders_own_logits(part, base, grown, prompts, tmp_path, shards):
    _, fields, prefix, file = part
    grown.save_pretrained(tmp_path / "grown", **shards)
    again = CLIPSegForImageSegmentation.from_pretrained(tmp_path / "grown")
    assert_same(again, grown)
    assert all(name.startswith(prefix) for name in load_file(tmp_path / "grown" / file))
    expected = logits(CLIPSegForImageSegmentation.from_pretrained(base), prompts)
    assert (logits(again, prompts) - expected).abs().max() > 0.01
    stock, info = transformers.CLIPSegForImageSegmentation.from_pretrained(tmp_path / "grown", output_loading_info=True)
    assert not any(info.values())
    assert (logits(stock.eval(), prompts) - expected).abs().max() < 1e-5
    off = CLIPSegForImageSegmentation.from_pretrained(tmp_path / "grown", **dict.fromkeys(fields))
    assert torch.equal(logits(off, prompts), expected)


def test_neither_side_warns(part, grown, tmp_path, caplog, capfd):
    grown.save_pretrained(tmp_path / "grown")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for cls in (transformers.CLIPSegForImageSegmentation, CLIPSegForImageSegmentation):
            cls.from_pretrained(tmp_path / "grown")
    said = caplog.text + "".join(capfd.readouterr())
    name = part[2].split(".")[-2]  # "refiner", "attends"
    assert name not in said and "unexpected" not in said.lower() and "missing" not in said.lower()


def test_a_decoder_alone_brings_it_along(part, tiny, tmp_path):
    tiny.clip().save_pretrained(tmp_path / "clip")
    base = CLIPSegForImageSegmentation.from_clip(str(tmp_path / "clip"), extract_layers=(0, 1), reduce_dim=16)
    base.save_pretrained(tmp_path / "decoder", decoder_only=True)
    grown = CLIPSegForImageSegmentation.from_pretrained(tmp_path / "decoder", **part[1])
    tiny.fill(grown.refiner if grown.refiner is not None else grown.decoder.attends)
    grown.save_pretrained(tmp_path / "grown", decoder_only=True)
    assert (tmp_path / "grown" / part[3]).is_file()
    decoders = [load_file(tmp_path / name / "decoder.safetensors") for name in ("decoder", "grown")]
    assert decoders[0].keys() == decoders[1].keys()
    assert_same(CLIPSegForImageSegmentation.from_pretrained(tmp_path / "grown"), grown)


def test_saving_without_one_removes_an_earlier_one(part, base, grown, tmp_path):
    grown.save_pretrained(tmp_path / "grown")
    plain = CLIPSegForImageSegmentation.from_pretrained(base)
    plain.save_pretrained(tmp_path / "grown")
    assert not (tmp_path / "grown" / part[3]).exists()
    assert_same(CLIPSegForImageSegmentation.from_pretrained(tmp_path / "grown"), plain)


def test_a_missing_one_is_named(part, grown, tmp_path):
    title, fields, _, file = part
    grown.save_pretrained(tmp_path / "grown")
    (tmp_path / "grown" / file).unlink()
    (option,) = fields
    with pytest.raises(ValueError, match=rf"names a {title}, but there is no {file}.*left behind.*{option}=None"):
        CLIPSegForImageSegmentation.from_pretrained(tmp_path / "grown")
    CLIPSegForImageSegmentation.from_pretrained(tmp_path / "grown", **dict.fromkeys(fields))


def test_another_decoders_is_refused(part, grown, tmp_path):
    grown.save_pretrained(tmp_path / "grown")
    weights = load_file(tmp_path / "grown" / "model.safetensors")
    weights["decoder.film_add.bias"] += 1
    save_file(weights, tmp_path / "grown" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"trained on another decoder .*checksums differ.*or load without it by"):
        CLIPSegForImageSegmentation.from_pretrained(tmp_path / "grown")
    half = CLIPSegForImageSegmentation.from_pretrained(tmp_path / "grown", dtype=torch.bfloat16)  # nothing to compare
    assert {weight.dtype for weight in half.state_dict().values()} == {torch.bfloat16}


def test_one_of_another_shape_is_refused(tiny, base, part, grown, tmp_path):
    grown.save_pretrained(tmp_path / "grown")
    file = tmp_path / "grown" / part[3]
    name, tensor = next(iter(sorted(load_file(file).items())))
    save_file({name: tensor[:1]}, file)
    with pytest.raises(ValueError, match=rf"does not fit this model's {part[0]}: its .* is .*, expected .*=None"):
        CLIPSegForImageSegmentation.from_pretrained(tmp_path / "grown")


def test_one_that_cannot_be_read_is_named(part, grown, tmp_path):
    grown.save_pretrained(tmp_path / "grown")
    file = tmp_path / "grown" / part[3]
    pointer = b"version https://git-lfs.github.com/spec/v1\n"
    for broken in (file.read_bytes()[:-4], pointer, b""):
        file.write_bytes(broken)
        with pytest.raises(ValueError, match=rf"{part[3]} cannot be read as safetensors .*cut short.*git lfs pull"):
            CLIPSegForImageSegmentation.from_pretrained(tmp_path / "grown")


def test_push_to_hub_takes_it_along(part, grown, tmp_path, hub):
    grown.save_pretrained(tmp_path / "model", push_to_hub=True, repo_id="me/grown")
    assert {"model.safetensors", part[3]} <= set(hub.files("me/grown"))
    assert_same(CLIPSegForImageSegmentation.from_pretrained("me/grown"), grown)


def test_both_may_stand_beside_one_decoder(base, prompts, tmp_path):
    both = {name: value for fields, _ in FIELDS.values() for name, value in fields.items()}
    model = CLIPSegForImageSegmentation.from_pretrained(base, **both)
    for weights in (model.refiner, model.decoder.attends):
        for weight in weights.parameters():
            torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(tmp_path / "both")
    assert_same(CLIPSegForImageSegmentation.from_pretrained(tmp_path / "both"), model)
    for left_away in both:  # either works without the other
        less = CLIPSegForImageSegmentation.from_pretrained(tmp_path / "both", **{left_away: None})
        assert (logits(less, prompts) - logits(model, prompts)).abs().max() > 0.01
    bare = CLIPSegForImageSegmentation.from_pretrained(tmp_path / "both", **dict.fromkeys(both))
    assert torch.equal(logits(bare, prompts), logits(CLIPSegForImageSegmentation.from_pretrained(base), prompts))


def test_whether_prompt_attention_stands_beside_is_the_checkpoints_word(tiny, base, prompts, tmp_path):
    counts = {"text": 3, "image": 4}
    within = CLIPSegForImageSegmentation.from_pretrained(base, prompt_tokens=counts)
    tiny.fill(within.decoder.attends)
    within.save_pretrained(tmp_path / "within")
    assert not (tmp_path / "within" / "prompt_tokens.safetensors").exists()
    beside = CLIPSegForImageSegmentation.from_pretrained(base, **FIELDS["prompt attention"][0])
    tiny.fill(beside.decoder.attends)
    beside.save_pretrained(tmp_path / "beside")
    for name, model, other in (("within", within, {**counts, "beside": True}), ("beside", beside, counts)):
        again = CLIPSegForImageSegmentation.from_pretrained(tmp_path / name, prompt_tokens=other)
        assert_same(again, model)
        assert again.config.prompt_tokens == model.config.prompt_tokens


@pytest.mark.parametrize("wrong", [16, "many", {"text": 3}, {"text": 3, "image": 5, "beside": True}])
def test_other_settings_are_refused_where_there_are_some(base, tmp_path, wrong):
    model = CLIPSegForImageSegmentation.from_pretrained(base, **FIELDS["prompt attention"][0])
    model.save_pretrained(tmp_path / "beside")
    for folder in (base, tmp_path / "beside"):
        with pytest.raises(ValueError, match=r'must be None or like {"text": 16, "image": 16}.*"beside": true'):
            CLIPSegForImageSegmentation.from_pretrained(folder, prompt_tokens=wrong)


def test_it_is_kept_whatever_the_type(base, tmp_path):
    model = CLIPSegForImageSegmentation.from_pretrained(base, **FIELDS["prompt attention"][0])
    model.half().save_pretrained(tmp_path / "half")
    assert_same(CLIPSegForImageSegmentation.from_pretrained(tmp_path / "half", dtype="auto"), model)


def test_bare_vectors_get_the_decoders_own_logits(tiny, base, prompts):
    model = CLIPSegForImageSegmentation.from_pretrained(base, **FIELDS["prompt attention"][0])
    for weight in model.decoder.attends.parameters():
        torch.nn.init.normal_(weight)
    vectors = torch.randn(2, model.config.projection_dim, generator=torch.Generator().manual_seed(0))
    inputs = {"pixel_values": prompts["pixel_values"], "conditional_embeddings": vectors}
    expected = logits(CLIPSegForImageSegmentation.from_pretrained(base), inputs)
    assert torch.equal(logits(model, inputs), expected)
    narrow = inputs | {"conditional_embeddings": vectors[:, :-1]}
    with pytest.raises(ValueError, match=r"expected \(prompts, 24\) or \(prompts, 192\): each a vector and 7 tokens"):
        model(**narrow)
