"""Search the hyper-parameters of a method, or of a selector and a learner.

python preset_standalone.py --alg deneb --search_trial 30 --hyperopt
"""

import os

if __name__ == "__main__":  # before the imports that take seconds
    from utils.startup import begin

    begin()

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # waiting threads must not spin; read when torch starts

import sys

from algorithms.command.arguments import parse_arguments
from algorithms.command.listing import listing
from algorithms.command.tuning import add_search_flags, run_search
from utils.cli import command_line, run_script, show_log
from utils.cpu import keep_freed_memory, use_threads
from utils.distributed import single_process_only

SCRIPT = "preset_standalone.py"


def main(argv: list[str]) -> int:
    return run_script(lambda: search(argv), SCRIPT, argv)


def search(argv: list[str]) -> None:
    """Everything that one command line asks for."""
    single_process_only(SCRIPT)
    show_log(only="algorithms.command.tuning")  # what a trial logs is in its own train.log
    arguments = parse_arguments(argv, SCRIPT, add_search_flags)
    if arguments.list:
        print(listing(arguments.list))
        return
    use_threads(arguments.threads)
    keep_freed_memory()
    print(run_search(arguments, command_line(SCRIPT, argv)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
