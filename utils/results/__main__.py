"""`python -m utils.results`."""

if __name__ == "__main__":  # before the imports that take seconds
    from utils.startup import begin

    begin()

import sys

from utils.cli import run_script
from utils.results.collector import main

sys.exit(run_script(lambda: main(sys.argv[1:]), "-m utils.results", sys.argv[1:]))
