"""YAML that people give: files that stand on others, and aliases that do not stand for a billion values."""

import re
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

ROOT = Path(__file__).parents[1]
BASED_ON = "based_on"
MOST_VALUES = 100_000
_DEEPEST = 20
_load = get_loader("yaml")


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, with that of the file which it is `based_on`.

    Raises:
        ValueError: it is none, or its aliases stand for more than `MOST_VALUES` values.
    """
    try:
        return load_yaml(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"`{path}` cannot be read as YAML: {error}") from error


def mapping_at(content: Any, *keys: str) -> dict[str, Any]:
    """The mapping under the keys, empty where there is none."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}


def load_yaml(text: str, depth: int = 0) -> Any:
    """The content of a text; what it says goes over what it is based on, key by key.

    Args:
        text: YAML, where `based_on: configs/backbone/sd15.yaml` names a shipped file, or any other by its whole path.
        depth: how many files stand on this one.

    Raises:
        yaml.YAMLError: it is none, its aliases stand for too much, or what it is based on cannot be read.
    """
    check_aliases(text)
    content = _load(text)
    if not isinstance(content, dict) or BASED_ON not in content:
        return content
    base = ROOT / Path(str(content.pop(BASED_ON))).expanduser()
    if depth == _DEEPEST or not base.is_file():
        raise yaml.YAMLError(
            f"`{BASED_ON}` is {base}: expected a file that does not stand on itself. Name a shipped config, such as "
            "configs/backbone/sd15.yaml, or another file by its whole path."
        )
    return _merged(load_yaml(base.read_text(encoding="utf-8"), depth + 1), content)


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


def _merged(base: Any, over: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    return base | {key: _merged(base.get(key), value) for key, value in over.items()}


set_loader("yaml", load_yaml, (yaml.YAMLError,))
