"""`python -m pipeline STAGE`: a module of its own, since worker processes import the main module again."""

import os
import sys

from pipeline.stages import main
from pipeline.workers import end_with_parent

end_with_parent()  # one that goes on where the run was killed would write beside the next run's
code = main(sys.argv[1:])
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)  # all is written: taking down torch, MLflow and pandas takes half a second more
