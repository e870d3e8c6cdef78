"""`python -m services.fetcher`."""

import sys

from services.fetcher.app import main

if __name__ == "__main__":
    sys.exit(main())
