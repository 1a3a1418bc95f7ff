"""`python -m utils.audit`."""

import sys

from utils.audit.samples import main

sys.exit(main(sys.argv[1:]))
