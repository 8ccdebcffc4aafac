"""Run by the trainer's interpreter: `atelier train RECIPE --dry-run` for each recipe, its exit code after its lines.

python -m tests.adapters.training.dry_runs RECIPE…
"""

import sys

from adapters.training.__main__ import main

if __name__ == "__main__":
    for recipe in sys.argv[1:]:
        print(f"{recipe} {main([recipe, '--dry-run'])}", file=sys.stderr)
