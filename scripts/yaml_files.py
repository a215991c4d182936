"""YAML that people give: aliases are for a value that is named twice, not for one of a billion copies."""

import re
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

MOST_VALUES = 100_000
_load = get_loader("yaml")


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        ValueError: it is none, or its aliases stand for more than `MOST_VALUES` values.
    """
    text = path.read_text(encoding="utf-8")
    try:
        check_aliases(text)
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"`{path}` cannot be read as YAML: {error}") from error


def check_aliases(text: str) -> None:
    """Raises `yaml.YAMLError` if aliases hold themselves, or stand for more than `MOST_VALUES` values."""
    if not re.search(r"&\S", text) or "*" not in text:
        return
    root = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if root is not None and _values(root, {}) > MOST_VALUES:
        raise yaml.YAMLError(
            f"its aliases (`*name`) stand for more than {MOST_VALUES} values, or hold themselves: expected a config "
            "that is as large as it looks. Write the values out."
        )


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node is with its aliases written out; too many for one that holds itself."""
    if id(node) not in known:
        known[id(node)] = MOST_VALUES + 1  # what it is within itself
        parts = [part for each in node.value for part in (each if isinstance(each, tuple) else (each,))]
        known[id(node)] = 1 + sum(_values(part, known) for part in parts if isinstance(part, yaml.Node))
    return known[id(node)]


def _load_checked(text: str) -> Any:
    check_aliases(text)
    return _load(text)


set_loader("yaml", _load_checked, (yaml.YAMLError,))
