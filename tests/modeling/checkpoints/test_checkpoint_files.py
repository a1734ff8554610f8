"""Weights that cannot be read, and folders that hold none."""

import shutil

import pytest

from clipseg_hf import EMOJI_TINY, CLIPSegForImageSegmentation


@pytest.mark.parametrize("broken", [b"version https://git-lfs.github.com/spec/v1\n", b"", None])
def test_weights_that_cannot_be_read_are_named(broken, tmp_path):
    shutil.copytree(EMOJI_TINY, tmp_path / "copy")
    file = tmp_path / "copy" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-4] if broken is None else broken)
    with pytest.raises(ValueError, match=r"model\.safetensors cannot be read as safetensors .*cut short.*git lfs pull"):
        CLIPSegForImageSegmentation.from_pretrained(tmp_path / "copy")


def test_an_export_is_told_from_a_checkpoint(tmp_path):
    shutil.copytree(EMOJI_TINY, tmp_path / "export", ignore=shutil.ignore_patterns("*.safetensors"))
    (tmp_path / "export" / "onnx").mkdir()
    with pytest.raises(ValueError, match=r"export holds ONNX graphs and no weights: .*backend='onnx'"):
        CLIPSegForImageSegmentation.from_pretrained(tmp_path / "export")
