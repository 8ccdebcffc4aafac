"""How good a trained model is beside the one it came from, and whether it may be published."""
