"""The commands of `mailroom`, a module for each kind of work. They wire, ask and print; they know no rules."""
