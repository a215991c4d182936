"""Texts of a command line: `~` in paths, which a shell writes out only where a word begins with it, and times."""

import os
import re
from pathlib import Path
from typing import Any

_HOME = re.compile(r"(?:--?[\w.+]+=)?(~(?:/|$))")


def to_path(text: str) -> Path:
    """A path of a command line."""
    return Path(text).expanduser()


def with_home(value: Any) -> Any:
    """The value, or the argument `--key=value`, with `~/` written out in it and in all that it holds."""
    if isinstance(value, str):
        found = _HOME.match(value)
        return value if found is None else value[: found.start(1)] + os.path.expanduser(value[found.start(1) :])
    if isinstance(value, list):
        return [with_home(each) for each in value]
    if hasattr(value, "items"):  # a dict, or a Namespace of jsonargparse, whose keys are dotted
        for key, each in list(value.items()):
            value[key] = with_home(each)
    return value


def clock(seconds: float) -> str:
    """Minutes and seconds: "3:07"."""
    whole = max(0, round(seconds))
    return f"{whole // 60}:{whole % 60:02d}"
