"""The version of the rules: it rises with every change that can give a mail another verdict."""

from typing import Final

CLASSIFIER_VERSION: Final = 2
