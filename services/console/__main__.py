"""`python -m services.console`."""

import sys

from services.console.app import main

if __name__ == "__main__":
    sys.exit(main())
