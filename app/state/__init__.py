"""Where shared state lives: any Redis-protocol server, or the bundled Valkey."""
