"""Instructions smuggled into what should be data: told apart, and fenced off."""
