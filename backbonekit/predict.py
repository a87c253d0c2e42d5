"""`python -m backbonekit.predict`"""

import sys

from backbonekit.cli.verbs import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("predict", sys.argv[1:]))
