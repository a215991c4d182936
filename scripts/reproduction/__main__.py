"""`python -m scripts.reproduction`, which the script `scripts/reproduce` starts."""

import sys

from scripts.reproduction.run import WAY_ON, main
from scripts.stopping import stoppable

with stoppable(WAY_ON):
    code = main()
sys.exit(code)
