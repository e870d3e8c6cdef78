"""Real servers for the tests: private, throw-away, on free ports of the loopback interface.

A server is taken from, in this order: an address given in MAILROOM_TEST_AMQP_URL, MAILROOM_TEST_DATABASE_URL or
MAILROOM_TEST_REDIS_URL; the programs on this machine; Debian's packages, where root may install them. `choosing.py`
holds that order.
"""
