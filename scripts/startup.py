"""How a program starts that imports large libraries."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_imports() -> Iterator[None]:
    """Imports what stays as long as the process: never searched for garbage, neither meanwhile nor at its end.

    The searches took a third of a short run. A process that had Lightning before is left as it is: it may hold other
    objects by now, and those would never be searched either.
    """
    if "lightning" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
