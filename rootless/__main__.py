"""``python -m rootless``: the same as the ``rootless`` command."""

import sys

from rootless.cli import main

sys.exit(main())
