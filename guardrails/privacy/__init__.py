"""Private data in a text: found by recognisers, hidden as the policy says, whole or while it is written."""
