"""What the services share: the contract, the broker, the tables and the identities."""
