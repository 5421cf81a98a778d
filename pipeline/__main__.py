"""`python -m pipeline STAGE`: a module of its own, since worker processes import the main module again."""

import sys

from pipeline.stages import main

sys.exit(main(sys.argv[1:]))
