"""From a question to an answer out of the knowledge base, or to the plain statement that there is none."""
