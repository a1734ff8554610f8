"""Paths of this machine stay on it."""

from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from safetensors.torch import save_file

from clipseg_hf.hub.portable import portable, refuse_private


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/home/somebody/pictures", "pictures"),
        ("/home/somebody/run/final", "run/final"),
        ("file:///home/somebody/pictures", "pictures"),
        ("~/pictures", "pictures"),
        ("../../somebody/pictures", "pictures"),
        ("C:\\Users\\somebody\\pictures", "pictures"),
        ("\\\\server\\somebody\\pictures", "pictures"),
        ("openai/clip-vit-base-patch16", "openai/clip-vit-base-patch16"),
        ("a photo of a {}.", "a photo of a {}."),
        (0.5, 0.5),
        ({"a": ["/x/y", None, True]}, {"a": ["y", None, True]}),
    ],
)
def test_of_a_path_the_name_is_kept(given, expected):
    assert portable(given) == expected


def test_what_names_a_folder_of_this_machine_is_refused(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "recipe.yaml").write_text(f"train_data: {tmp_path / 'secret'}/x")
    refuse_private(folder)
    (folder / "card.md").write_text(f"https://example.org{tmp_path / 'secret'}")  # another place of that name
    refuse_private(folder, tmp_path / "secrets")
    (folder / "card.md").unlink()
    with pytest.raises(ValueError, match=r"recipe\.yaml names .*secret, a folder of this machine, which nobody else"):
        refuse_private(folder, tmp_path / "secret")
    (folder / "recipe.yaml").write_text(f"train_data: {Path.home()}")
    with pytest.raises(ValueError, match=r"recipe\.yaml names"):
        refuse_private(folder)


def test_the_head_of_weights_is_looked_at_too(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    save_file({}, folder / "model.safetensors", metadata={"made_in": str(tmp_path / "secret")})
    with pytest.raises(ValueError, match=r"model\.safetensors names"):
        refuse_private(folder, tmp_path / "secret")


def test_so_are_the_texts_in_rows(tmp_path):
    folder, place = tmp_path / "out", tmp_path / "secret"
    folder.mkdir()
    rows = {"image_id": ["1"], "phrases": [[{"phrase": "a dog"}]], "image": [{"bytes": str(place).encode()}]}
    pyarrow.parquet.write_table(pyarrow.table(rows), folder / "rows.parquet")
    refuse_private(folder, place)  # pixels are not read
    rows["phrases"][0][0]["phrase"] = f"{place}/dog"
    pyarrow.parquet.write_table(pyarrow.table(rows), folder / "rows.parquet")
    with pytest.raises(ValueError, match=r"rows\.parquet names .*secret, a folder of this machine"):
        refuse_private(folder, place)


def test_only_harmless_kinds_of_files_go_up(tmp_path):
    (tmp_path / "model.bin").touch()
    with pytest.raises(ValueError, match=r"model\.bin is not published: what is has one of the endings \.json, \.md"):
        refuse_private(tmp_path)
