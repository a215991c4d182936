"""Which image files lie in a folder."""

import os
from pathlib import Path
from typing import NoReturn

from datamodules.images import LOOKED_AT


def images_in(folder: Path) -> list[Path]:
    """The image files directly in a folder, by name; hidden ones are left out."""
    return images_below(folder, 1)


def images_below(root: Path, depth: int | None = None) -> list[Path]:
    """The image files below a folder, by name; hidden ones are left out, and so is what lies in hidden folders.

    Links are followed, but none into a folder that is met anyway, or around the root: no file comes twice by them.

    Args:
        root: The folder.
        depth: Parts of their paths below the root, at most; None: any.

    Raises:
        OSError: A folder cannot be looked into.
    """
    seen, found = {os.path.realpath(root)}, list[Path]()
    for folder, folders, names in os.walk(root, followlinks=True, onerror=_refuse):
        deepest = depth is not None and len(Path(folder).relative_to(root).parts) + 1 >= depth
        folders[:] = [] if deepest else [name for name in sorted(folders) if _is_new(Path(folder, name), root, seen)]
        found += [Path(folder, name) for name in names if name.lower().endswith(LOOKED_AT) and name[0] != "."]
    return sorted(found)


def _is_new(folder: Path, root: Path, seen: set[str]) -> bool:
    """Whether a folder is met for the first time, and by no link to what is met without it or lies around the root."""
    real, top = Path(os.path.realpath(folder)), Path(os.path.realpath(root))
    if folder.name.startswith(".") or str(real) in seen or (folder.is_symlink() and _is_met_anyway(real, top)):
        return False
    seen.add(str(real))
    return True


def _is_met_anyway(real: Path, top: Path) -> bool:
    if not real.is_relative_to(top):
        return top.is_relative_to(real)
    return not any(part.startswith(".") for part in real.relative_to(top).parts)


def _refuse(error: OSError) -> NoReturn:
    raise OSError(error.errno, f"the folder `{error.filename}` cannot be read ({error.strerror})") from error
