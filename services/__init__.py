"""The services of Mailroom bounces, and the programs that are made of them."""
