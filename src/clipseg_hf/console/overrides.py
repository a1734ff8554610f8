"""Settings on a command line."""

from collections.abc import Iterable

from clipseg_hf._text_files import parse_yaml


def parse_overrides(settings: Iterable[str]) -> dict:
    """`["learning_rate=5e-4", "crop=false"]` -> `{"learning_rate": "5e-4", "crop": False}`, values read as YAML.

    Raises:
        ValueError: one of them is not written key=value, or its value is not valid YAML.
    """
    values = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"An override is written key=value, got {setting!r}.")
        values[key.strip()] = parse_yaml(text, f"The override {setting!r}")
    return values
