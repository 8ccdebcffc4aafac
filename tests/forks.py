"""Run by an interpreter that loads modules once, and forks for every command.

Loading torch takes longer than training a tiny model, loading the command line longer than most commands. A fork
is a process like any other: it begins with nothing but what is loaded, has an exit code, and can be killed.

python -m tests.forks MODULE… loads those, and reads from stdin, a line each, JSON objects: `module` and `arguments`
as of python -m, `environment`, and the files `out` and `err` to be written. Of each it prints the process id, and at
its end the exit code, negative for a signal.
"""

import gc
import importlib
import json
import os
import runpy
import sys
import threading
import traceback
from typing import Any


def become(command: dict[str, Any]) -> int:
    """Run the module as python -m does; the exit code."""
    os.setsid()
    for number, name in ((0, os.devnull), (1, command["out"]), (2, command["err"])):
        file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(command["environment"])
    sys.argv = [command["module"], *command["arguments"]]
    try:
        runpy.run_module(command["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main(modules: list[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    assert threading.active_count() == 1, "a fork would begin without the other threads"
    gc.freeze()  # what is loaded need not be looked at in every fork
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = become(json.loads(line))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
