"""Images whose layout a picture keeps: their names are their prompts."""

from pathlib import Path

from datamodules.image_files import images_in
from datamodules.images import SUFFIXES
from datamodules.references import Entry, ImageFile, ReferenceSet, check_sizes

EXPECTED = "images named by their prompts, `<prompt>.<suffix>`, such as `A rocket.png` or `A_rocket.jpg`"


class ContentImages(ReferenceSet):
    """The content images `<root>/<prompt>.<suffix>`, in the order of their names.

    The key of each is "content:" and its name without suffix, its content is the prompt, its style is "".

    Args:
        root: Folder that holds the images themselves.

    Raises:
        FileNotFoundError: If there is no such folder, or no image in it.
        ValueError: If a name says no prompt, or an image is too small or too long.
    """

    def __init__(self, root: str | Path) -> None:
        root = Path(root)
        paths = _paths(root)
        super().__init__(root, [Entry(f"content:{path.stem}", prompt_of(path), "", ImageFile(path)) for path in paths])
        check_sizes(root, self)


def prompt_of(path: Path) -> str:
    """The prompt that the name of a content image says: "A_rocket.png" says "A rocket"."""
    return " ".join(path.stem.replace("_", " ").split())


def _paths(root: Path) -> list[Path]:
    if not root.is_dir():
        raise FileNotFoundError(f"`content_images`: there is no folder `{root}`. Expected {EXPECTED}.")
    paths = images_in(root)
    if not paths:
        raise FileNotFoundError(
            f"`content_images`: the folder `{root}` holds no image. Expected {EXPECTED}, directly in that folder, "
            f"with one of the suffixes {', '.join(SUFFIXES)}."
        )
    nameless = [path.name for path in paths if not any(letter.isalpha() for letter in prompt_of(path))]
    if nameless:
        names = ", ".join(repr(name) for name in nameless)
        raise ValueError(
            f"`content_images`: {len(nameless)} of {len(paths)} file names in `{root}` say no prompt: {names}. "
            f"Expected {EXPECTED}. Rename the files by what they show."
        )
    return paths
