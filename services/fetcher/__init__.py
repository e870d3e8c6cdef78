"""Reads bounce mailboxes: fetch, record, then clean. Nothing leaves a mailbox before the ledger has it."""
