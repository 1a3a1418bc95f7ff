"""`python -m utils.audit`."""

if __name__ == "__main__":  # before the imports that take seconds
    from utils.startup import begin

    begin()

import sys

from utils.audit.samples import main

sys.exit(main(sys.argv[1:]))
