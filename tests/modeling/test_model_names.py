"""What a model may be called, and what is said of one that cannot be had."""

import huggingface_hub
import pytest

from clipseg_hf import EMOJI_TINY, CLIPSegForImageSegmentation, CLIPSegProcessor, assets
from clipseg_hf.inference import Segmenter
from clipseg_hf.modeling.model_names import find_model


def test_folders_and_the_embedded_checkpoint(tmp_path, monkeypatch):
    assert find_model(tmp_path) == str(tmp_path)
    monkeypatch.setattr(assets, "EMOJI_TINY", str(tmp_path))
    assert find_model("emoji-tiny") == str(tmp_path)
    monkeypatch.setattr(assets, "EMOJI_TINY", str(tmp_path / "lost"))
    with pytest.raises(FileNotFoundError, match=r"lacks its embedded checkpoint, .*lost: install it anew"):
        find_model("emoji-tiny")


def test_a_folder_of_that_name_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "emoji-tiny").mkdir()
    assert find_model("emoji-tiny") == "emoji-tiny"


@pytest.mark.parametrize("name", ["outputs/first/final", "/outputs/first", "../first", "outputs/first/", "my model"])
@pytest.mark.parametrize("load", [CLIPSegForImageSegmentation, CLIPSegProcessor, Segmenter])
def test_a_folder_that_cannot_be_a_name_on_the_hub(load, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"There is no folder {name}, and the Hub has no such names"):
        load.from_pretrained(name)


def test_without_a_network(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConnectionError) as error:
        find_model("some/model")
    assert str(error.value).startswith(
        "some/model is not on this machine, and the Hugging Face Hub cannot be reached ("
    )
    assert "--model emoji-tiny" in str(error.value)
    with pytest.raises(ConnectionError, match=r"or ask a friend$"):
        find_model("some/model", way_out="ask a friend")


def test_what_is_in_the_cache_needs_no_network(monkeypatch):
    def cached(name, file, revision):
        return "/cache/config" if revision in (None, "v1") else None

    monkeypatch.setattr("clipseg_hf.modeling.model_names.try_to_load_from_cache", cached)
    assert find_model("some/model") == "some/model"
    assert find_model("some/model", revision="v1") == "some/model"
    with pytest.raises(ConnectionError, match="some/model is not on this machine"):
        find_model("some/model", revision="v2")


def test_a_name_that_the_hub_does_not_know(monkeypatch):
    class Hub:
        def model_info(self, name, timeout):
            raise _not_found()

    monkeypatch.setattr("clipseg_hf.modeling.model_names.HfApi", Hub)
    with pytest.raises(FileNotFoundError, match="no folder some/mdoel, and the Hub has no model of this name"):
        find_model("some/mdoel")


def _not_found() -> Exception:
    # its constructor wants the client's answer, of a type that differs by version
    return huggingface_hub.errors.RepositoryNotFoundError.__new__(huggingface_hub.errors.RepositoryNotFoundError)


@pytest.mark.parametrize("name", ["./models/mine", "/no/such/folder", "models/mine/final"])
def test_a_folder_that_is_not_there(name):
    with pytest.raises(FileNotFoundError, match=f"There is no folder {name}"):
        find_model(name)


def test_a_file(tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ValueError, match="is a file; expected the folder of a checkpoint"):
        find_model(tmp_path / "model.safetensors")


def test_the_embedded_checkpoint_has_one_name_everywhere():
    model = CLIPSegForImageSegmentation.from_pretrained("emoji-tiny")
    assert model.num_parameters() < 5_000_000
    thresholds = CLIPSegProcessor.from_pretrained("emoji-tiny").mask_thresholds
    assert thresholds == CLIPSegProcessor.from_pretrained(EMOJI_TINY).mask_thresholds
    with pytest.raises(ValueError, match=r"is a CLIPSeg already: load it by .*from_pretrained"):
        CLIPSegForImageSegmentation.from_clip("emoji-tiny")


@pytest.mark.parametrize(
    "load", [find_model, CLIPSegForImageSegmentation.from_pretrained, CLIPSegProcessor.from_pretrained]
)
def test_the_folder_of_a_run_is_not_its_model(tmp_path, load):
    final = tmp_path / "run1" / "final"
    CLIPSegForImageSegmentation.from_pretrained("emoji-tiny").save_pretrained(final)
    CLIPSegProcessor.from_pretrained("emoji-tiny").save_pretrained(final)
    with pytest.raises(ValueError, match=r"run1 is the folder of a training run; did you mean .*run1/final, its"):
        load(tmp_path / "run1")
    assert load(final)
    if load is not find_model:
        assert load(tmp_path / "run1", subfolder="final")
