"""`python -m backbonekit VERB ...` and the console script `backbonekit`."""

import sys

from backbonekit.cli.verbs import main

if __name__ == "__main__":
    sys.exit(main())
