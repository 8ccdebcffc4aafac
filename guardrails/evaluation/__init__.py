"""Two-sided reports: what the checks catch, and what they wrongly stop."""
