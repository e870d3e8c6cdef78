"""`python -m services.classifier`."""

import sys

from services.classifier.app import main

if __name__ == "__main__":
    sys.exit(main())
