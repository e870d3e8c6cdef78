"""`python -m services.ledger`."""

import sys

from services.ledger.app import main

if __name__ == "__main__":
    sys.exit(main())
