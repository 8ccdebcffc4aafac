"""The engines: client, pool, and the launcher of local child processes."""
