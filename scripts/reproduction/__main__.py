"""`python -m scripts.reproduction`, which the script `scripts/reproduce` starts."""

import sys

from scripts.reproduction.run import main

sys.exit(main())
