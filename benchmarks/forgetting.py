"""Emptying the classifier's memory of mails between rounds, so that no mail is judged from what is left of a round before."""

import gc
import sys

from services.classifier.rulebook import own_rulebook

CLASSIFIER = "services.classifier"


def forget() -> None:
    """Every bounded cache of a classifier's function; those of one entry hold rules, not mails."""
    for name, module in list(sys.modules.items()):
        if name.startswith(CLASSIFIER):
            for value in vars(module).values():
                if hasattr(value, "cache_parameters") and (value.cache_parameters()["maxsize"] or 1) > 1:
                    value.cache_clear()
    own_rulebook().forget()
    gc.collect()
