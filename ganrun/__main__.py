"""python -m ganrun"""

import sys

from ganrun.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
