"""Which version an alias means."""
