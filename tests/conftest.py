"""Settings for every test: no network, deterministic, one thread."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import pytest
import torch

hypothesis.settings.register_profile("offline", deadline=None, derandomize=True, max_examples=25, database=None)
hypothesis.settings.load_profile("offline")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def pytest_runtest_setup(item):
    if item.get_closest_marker("needs_font"):
        from clipseg_hf.data.emoji_world.emoji_glyphs import find_emoji_font

        try:
            find_emoji_font()
        except FileNotFoundError as error:
            pytest.skip(f"It draws emoji. {error}")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub that this process's client asks, as HF_ENDPOINT would have it; the token of "me", an empty cache."""
    import huggingface_hub
    import transformers

    from hub.local_hub import LocalHub

    with LocalHub() as server:
        constants = {"ENDPOINT": server.url, "HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True}
        constants["HUGGINGFACE_CO_URL_TEMPLATE"] = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        constants |= {"HF_HUB_CACHE": str(tmp_path / "cache"), "HF_TOKEN_PATH": str(tmp_path / "no token")}
        for name, value in constants.items():
            monkeypatch.setattr(huggingface_hub.constants, name, value)
        monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", server.url)
        monkeypatch.setattr(transformers.utils.hub, "_hf_api", None, raising=False)
        monkeypatch.setenv("HF_TOKEN", "hf_secretOfMe")
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            monkeypatch.delenv(name)
        huggingface_hub.close_session()
        yield server
    huggingface_hub.close_session()
