"""Decoder-only checkpoints: small, bit-identical, and clear about a base that does not fit."""

import json
from types import SimpleNamespace

import pytest
import torch
import transformers
from safetensors import safe_open

from clipseg_hf import EMOJI_TINY
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.modeling.checkpoints import checkpoint_files
from clipseg_hf.modeling.checkpoints.checkpoint_files import find_file, weights_checksum
from clipseg_hf.modeling.checkpoints.decoder_only import DECODER_FILE


@pytest.fixture(scope="module")
def base(tiny, tmp_path_factory):
    """A CLIP checkpoint on disk."""
    directory = tmp_path_factory.mktemp("base-clip")
    tiny.clip().save_pretrained(directory)
    return str(directory)


@pytest.fixture
def trained(base):
    model = CLIPSegForImageSegmentation.from_clip(base, extract_layers=(0, 1, 3), reduce_dim=16, loss_type="dice")
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.add_(0.1)
    model.config.image_prompt_weight = 0.3
    return model


@pytest.fixture
def saved(trained, tmp_path):
    trained.save_pretrained(tmp_path / "decoder", decoder_only=True)
    return tmp_path / "decoder"


def edit_config(directory, **fields):
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_decoder_and_its_base_are_the_model_again_bit_by_bit(trained, saved, prompts):
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "decoder.safetensors"]
    again = CLIPSegForImageSegmentation.from_pretrained(saved)
    assert again.config.image_prompt_weight == 0.3
    expected = trained.state_dict()
    assert again.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in again.state_dict().items())
    assert torch.equal(again(**prompts).logits, trained(**prompts).logits)
    assert again.config.loss_type == "dice"
    assert not any(parameter.requires_grad for parameter in again.clip.parameters())
    assert not again.training


def test_films_of_further_steps_are_kept(base, prompts, tmp_path):
    model = CLIPSegForImageSegmentation.from_clip(
        base, extract_layers=(0, 1, 3), reduce_dim=16, conditional_layers=(0, 2)
    )
    torch.nn.init.normal_(model.decoder.films["2"].add.weight)
    expected = model(**prompts).logits
    for decoder_only in (False, True):
        model.save_pretrained(tmp_path / str(decoder_only), decoder_only=decoder_only)
        again = CLIPSegForImageSegmentation.from_pretrained(tmp_path / str(decoder_only))
        assert again.config.conditional_layers == [0, 2]
        assert torch.equal(again(**prompts).logits, expected)


def test_films_of_further_steps_can_be_put_on_a_trained_decoder(trained, saved, prompts, tmp_path):
    trained.save_pretrained(tmp_path / "whole")
    for folder in (saved, tmp_path / "whole"):
        model = CLIPSegForImageSegmentation.from_pretrained(folder, conditional_layers=[0, 1, 2])
        assert sorted(model.decoder.films) == ["1", "2"]
        assert torch.equal(model(**prompts).logits, trained(**prompts).logits)


def test_the_file_holds_the_decoder_and_names_its_base(saved, base):
    with safe_open(saved / "decoder.safetensors", framework="pt") as file:
        assert all(name.startswith("decoder.") for name in file.keys())  # noqa: SIM118
    config = json.loads((saved / "config.json").read_text())
    assert config["base_model_name_or_path"] == base
    assert config["model_type"] == "clipseg"


def test_the_embedded_checkpoint_is_named_not_where_it_lies(tmp_path, monkeypatch):
    model = CLIPSegForImageSegmentation.from_pretrained("emoji-tiny")
    model.save_pretrained(tmp_path / "saved", decoder_only=True)
    assert "/" not in (tmp_path / "saved" / "config.json").read_text()
    monkeypatch.chdir(tmp_path)
    again = CLIPSegForImageSegmentation.from_pretrained("saved")
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
    again.save_pretrained("again", decoder_only=True, base_model=EMOJI_TINY)
    assert json.loads((tmp_path / "again" / "config.json").read_text())["base_model_name_or_path"] == "emoji-tiny"


def test_a_decoder_of_width_64_takes_about_4_5_megabytes(tiny, tmp_path):
    config = transformers.CLIPSegConfig(
        vision_config={"patch_size": 16}, reduce_dim=64, use_complex_transposed_convolution=True
    )
    with torch.device("meta"):
        decoder = CLIPSegForImageSegmentation(config).decoder
    assert sum(parameter.nbytes for parameter in decoder.parameters()) == pytest.approx(4.5e6, rel=0.01)


def test_stock_refuses_it_rather_than_load_a_random_clip(saved):
    with pytest.raises(OSError, match=r"model\.safetensors"):
        transformers.CLIPSegForImageSegmentation.from_pretrained(saved)


def test_auto_class_and_loading_arguments(saved, trained, prompts):
    model, info = CLIPSegForImageSegmentation.from_pretrained(
        saved, output_loading_info=True, attn_implementation="eager", loss_type="bce", decoder_dropout=0.1
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert model.clip.vision_model.config._attn_implementation == "eager"
    assert (model.config.loss_type, model.config.decoder_dropout) == ("bce", 0.1)
    half = CLIPSegForImageSegmentation.from_pretrained(saved, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    with pytest.raises(TypeError, match="decoder_droput"):
        CLIPSegForImageSegmentation.from_pretrained(saved, decoder_droput=0.1)


def test_a_model_in_bfloat16_comes_back_in_bfloat16(trained, tmp_path):
    trained.to(torch.bfloat16).save_pretrained(tmp_path, decoder_only=True)
    again = CLIPSegForImageSegmentation.from_pretrained(tmp_path)
    assert again.dtype == torch.bfloat16
    expected = trained.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in again.state_dict().items())


def test_a_whole_clipseg_checkpoint_can_be_the_base(tiny, tmp_path, prompts):
    whole = tiny.model()
    whole.save_pretrained(tmp_path / "whole")
    model = CLIPSegForImageSegmentation.from_pretrained(tmp_path / "whole")
    model.save_pretrained(tmp_path / "decoder", decoder_only=True)
    again = CLIPSegForImageSegmentation.from_pretrained(tmp_path / "decoder")
    assert torch.equal(again(**prompts).logits, whole(**prompts).logits)


def test_saving_again_names_the_same_base(saved, tmp_path, base, prompts):
    model = CLIPSegForImageSegmentation.from_pretrained(saved)
    model.save_pretrained(tmp_path / "again", decoder_only=True)
    assert json.loads((tmp_path / "again" / "config.json").read_text())["base_model_name_or_path"] == base
    model.save_pretrained(tmp_path / "whole")
    whole = CLIPSegForImageSegmentation.from_pretrained(tmp_path / "whole")
    assert torch.equal(whole(**prompts).logits, model(**prompts).logits)


def test_a_base_from_elsewhere(saved, tiny, trained, prompts):
    edit_config(saved, base_model_name_or_path="nobody/nothing", base_model_revision="abc123")
    message = r"decoder only, and its base CLIP 'nobody/nothing' \(revision abc123\) cannot be reached"
    with pytest.raises(OSError, match=message):
        CLIPSegForImageSegmentation.from_pretrained(saved)
    again = CLIPSegForImageSegmentation.from_pretrained(saved, base_model=tiny.clip())
    assert torch.equal(again(**prompts).logits, trained(**prompts).logits)


def test_a_base_of_another_shape_is_refused(saved, tiny, tmp_path):
    tiny.clip(num_hidden_layers=4).save_pretrained(tmp_path / "small")
    with pytest.raises(ValueError, match=r"base CLIP '.*small' does not fit this decoder: its vision_model\.encoder"):
        CLIPSegForImageSegmentation.from_pretrained(saved, base_model=str(tmp_path / "small"))


def test_a_base_with_other_weights_is_refused(saved, tiny):
    other = tiny.clip()
    with torch.no_grad():
        other.vision_model.encoder.layers[2].mlp.fc1.weight[0, 0] += 0.01
    with pytest.raises(ValueError, match=r"given as base_model has the right shape but other weights"):
        CLIPSegForImageSegmentation.from_pretrained(saved, base_model=other)


def test_a_base_that_is_no_clip_is_refused(saved, tmp_path):
    transformers.BertConfig().save_pretrained(tmp_path / "bert")
    edit_config(saved, base_model_name_or_path=str(tmp_path / "bert"))
    with pytest.raises(ValueError, match="is a model of type 'bert', expected a CLIP or CLIPSeg checkpoint"):
        CLIPSegForImageSegmentation.from_pretrained(saved)


def test_a_decoder_that_names_no_base_says_so(saved):
    edit_config(saved, base_model_name_or_path=None)
    with pytest.raises(ValueError, match=r"decoder only and names no base CLIP.*base_model="):
        CLIPSegForImageSegmentation.from_pretrained(saved)


def test_a_base_must_be_known_when_saving(tiny, tmp_path):
    with pytest.raises(ValueError, match=r'does not know where its CLIP came from: pass base_model="\.\.\."'):
        tiny.model().save_pretrained(tmp_path, decoder_only=True)
    tiny.model().save_pretrained(tmp_path, decoder_only=True, base_model="some/clip", base_model_revision="v1")
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["base_model_name_or_path"], config["base_model_revision"]) == ("some/clip", "v1")


def test_a_changed_clip_is_not_its_base(trained, tmp_path):
    trained.unfreeze_clip()
    with pytest.raises(ValueError, match=r"CLIP was unfrozen, .* save the whole model"):
        trained.save_pretrained(tmp_path, decoder_only=True)


def test_the_two_kinds_of_checkpoints_do_not_mix(trained, saved, tmp_path):
    with pytest.raises(ValueError, match=r"already holds decoder\.safetensors: .* Save to another directory"):
        trained.save_pretrained(saved)
    trained.save_pretrained(tmp_path / "whole")
    with pytest.raises(ValueError, match=r"already holds model\.safetensors"):
        trained.save_pretrained(tmp_path / "whole", decoder_only=True)


def test_arguments_that_belong_to_the_other_kind_are_refused(trained, saved, tmp_path, base):
    with pytest.raises(ValueError, match="base_model is for decoder_only=True"):
        trained.save_pretrained(tmp_path / "a", base_model=base)
    with pytest.raises(TypeError, match=r"decoder_only=True does not take \['max_shard_size'\]"):
        trained.save_pretrained(tmp_path / "b", decoder_only=True, max_shard_size="1GB")
    trained.save_pretrained(tmp_path / "whole")
    with pytest.raises(ValueError, match=r"base_model is for decoder-only checkpoints, but .*whole brings a CLIP"):
        CLIPSegForImageSegmentation.from_pretrained(tmp_path / "whole", base_model=base)
    trained.save_pretrained(tmp_path / "c", is_main_process=False, decoder_only=True)
    assert not (tmp_path / "c").exists()


def test_a_base_has_a_revision(trained, tmp_path, base, prompts):
    trained.save_pretrained(tmp_path, decoder_only=True, base_model=base, base_model_revision="v1")
    assert json.loads((tmp_path / "config.json").read_text())["base_model_revision"] == "v1"
    again = CLIPSegForImageSegmentation.from_pretrained(tmp_path)  # a directory has no revisions
    assert torch.equal(again(**prompts).logits, trained(**prompts).logits)


def test_the_auto_class_loads_it(saved, trained, prompts):
    again = transformers.AutoModelForImageSegmentation.from_pretrained(saved)
    assert isinstance(again, CLIPSegForImageSegmentation)
    assert torch.equal(again(**prompts).logits, trained(**prompts).logits)


def test_upload_sends_the_decoder_and_its_config(trained, tmp_path, monkeypatch):
    calls = {}

    class FakeApi:
        def __init__(self, token):
            calls["token"] = token

        def create_repo(self, repo_id, **arguments):
            calls["create"] = (repo_id, arguments)
            return SimpleNamespace(repo_id=f"somebody/{repo_id}")

        def upload_folder(self, **arguments):
            calls["upload"] = arguments

    monkeypatch.setattr(checkpoint_files, "HfApi", FakeApi)
    arguments = {"token": "secret", "private": True, "commit_message": "First"}
    trained.save_pretrained(tmp_path / "my-decoder", decoder_only=True, push_to_hub=True, **arguments)
    assert calls["token"] == "secret"
    assert calls["create"] == ("my-decoder", {"private": True, "exist_ok": True})
    assert calls["upload"]["repo_id"] == "somebody/my-decoder"
    assert calls["upload"]["commit_message"] == "First"
    assert calls["upload"]["allow_patterns"] == ["config.json", "decoder.safetensors"]
    with pytest.raises(TypeError, match="max_shard_size"):
        trained.save_pretrained(tmp_path / "b", decoder_only=True, push_to_hub=True, max_shard_size="1GB")


def test_the_checksum_sees_every_bit_name_and_type(tiny):
    state = {"a": torch.zeros(3), "b": torch.zeros(())}
    checksum = weights_checksum(state)
    assert checksum == weights_checksum(dict(reversed(state.items())))
    assert len(
        {
            checksum,
            weights_checksum(state | {"a": torch.tensor([0.0, 0.0, 1e-30])}),
            weights_checksum({"a": state["a"], "c": state["b"]}),
            weights_checksum(state | {"a": torch.zeros(3, dtype=torch.bfloat16)}),
        }
    ) == 4  # fmt: skip


def test_a_whole_checkpoint_has_no_decoder_file(trained, saved, tmp_path):
    trained.save_pretrained(tmp_path / "whole")
    assert find_file(tmp_path / "whole", DECODER_FILE) is None
    assert find_file(saved, DECODER_FILE) == str(saved / "decoder.safetensors")


def test_a_decoder_that_cannot_be_read_is_named(trained, tmp_path):
    trained.save_pretrained(tmp_path, decoder_only=True)
    (tmp_path / DECODER_FILE).write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ValueError, match=r"decoder\.safetensors cannot be read as safetensors .*git lfs pull"):
        CLIPSegForImageSegmentation.from_pretrained(tmp_path)
