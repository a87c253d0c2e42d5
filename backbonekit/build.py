"""`python -m backbonekit.build`"""

import sys

from backbonekit.cli.verbs import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("build", sys.argv[1:]))
