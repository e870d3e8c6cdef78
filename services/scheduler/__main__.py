"""`python -m services.scheduler`."""

import sys

from services.scheduler.app import main

if __name__ == "__main__":
    sys.exit(main())
