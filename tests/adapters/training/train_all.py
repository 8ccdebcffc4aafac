"""Run by the trainer's interpreter: trains several recipes in one process, as loading its libraries takes seconds.

python -m tests.adapters.training.train_all '[["RECIPE", "--dry-run"], …]' prints [exit code, what was said] of each.
"""

import io
import json
import sys

from adapters.training import __main__ as trainer


def main(commands: list[list[str]]) -> None:
    said = []
    for command in commands:
        trainer.console.file = io.StringIO()
        code = trainer.main(command)
        said.append([code, trainer.console.file.getvalue()])
    print(json.dumps(said))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
