"""`clipseg-hf publish` without a network."""

import pytest
from typer.testing import CliRunner

from clipseg_hf.cli import app


def run(*arguments):
    return CliRunner().invoke(app, ["publish", *map(str, arguments)], prog_name="clipseg-hf")


LICENSES = ("--license", "mit", "--data-license", "OFL-1.1")


def test_a_dry_run_writes_what_would_go_up(tmp_path):
    result = run("emoji-tiny", "me/tiny", *LICENSES, "--prompt", "dog", "--dry-run", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    names = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert result.stdout == f"{len(names)} files would go up to me/tiny: {', '.join(names)}.\n"
    assert "license: mit" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data-license", "x"), "Missing option '--license'"),
        (("--license", "mit"), "Missing option '--data-license'"),
        ((*LICENSES, "--dry-run"), "--dry-run and --output OUT go together: give both, or neither."),
        ((*LICENSES, "-o", "out"), "--dry-run and --output OUT go together: give both, or neither."),
        (LICENSES, "Publishing needs the network, but HF_HUB_OFFLINE is set: unset it, or look at a --dry-run."),
        (("--license", "My Own", "--data-license", "x"), "license is an identifier of the Hub's such as apache-2.0"),
    ],
)
def test_what_a_user_can_mend(arguments, message):
    result = run("emoji-tiny", "me/tiny", *arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert message in result.stderr
