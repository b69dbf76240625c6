"""``python -m buena_pipeline.cli``, where the script ``buena-pipeline`` is not on the path."""

import sys

from buena_pipeline.cli import main

sys.exit(main())
