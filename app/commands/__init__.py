"""The commands of `atelier`, one module a group."""
