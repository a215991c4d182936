"""The dataset stage, a program of its own: draws the miniature's references, or looks at given ones."""

import json
import sys
from pathlib import Path
from typing import Any

from datamodules.miniature.references import MiniatureReferences
from datamodules.style_references import StyleReferences
from scripts.reproduction.folder import write_json
from scripts.stopping import stoppable


def prepare(datamodule: StyleReferences) -> dict[str, Any]:
    """Draw what is missing, check every image, and count them."""
    datamodule.prepare_data()
    sets = {"train": datamodule.train_set, "test": datamodule.test_set}
    return {name: {"references": len(each), "skipped": len(each.skipped)} for name, each in sets.items()}


def main(arguments: list[str]) -> None:
    """Prepare the references that the first argument describes as JSON, and write the counts to the second."""
    described = json.loads(arguments[0])
    datamodule = MiniatureReferences if "root" in described else StyleReferences
    write_json(Path(arguments[1]), prepare(datamodule(**described)))


if __name__ == "__main__":
    with stoppable():
        main(sys.argv[1:])
