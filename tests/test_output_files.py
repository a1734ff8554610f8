"""Folders that are written whole or not at all."""

import pytest

from clipseg_hf._output_files import new_folder


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("before", [[], ["out"], ["out", "out/deep"]])
def test_what_fails_leaves_what_was_there(before, failure, tmp_path):
    for name in before:
        (tmp_path / name).mkdir()
    (tmp_path / "mine.txt").write_text("mine")

    with pytest.raises(failure), new_folder(tmp_path / "out" / "deep") as folder:
        (folder / "images").mkdir()
        (folder / "images" / "1.png").touch()
        (folder / "mine").symlink_to(tmp_path)
        raise failure
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == sorted([*before, "mine.txt"])

    with new_folder(tmp_path / "out" / "deep") as folder:  # and can be repeated
        (folder / "1.png").touch()
    assert (tmp_path / "out" / "deep" / "1.png").is_file()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("mine")
    with (
        pytest.raises(FileExistsError, match=r"out is a file; name a new one\."),
        new_folder(tmp_path / "out", "name a new one"),
    ):
        pass
    assert (tmp_path / "out").read_text() == "mine"
