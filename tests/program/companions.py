"""The companion commands, called in this process."""

import sys
from types import SimpleNamespace


def called(main, arguments, capsys):
    """What a command's `main` ends with and prints."""
    code = 0
    try:
        main(list(arguments))
    except SystemExit as ended:
        code = ended.code or 0
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    printed = capsys.readouterr()
    return SimpleNamespace(returncode=code, stdout=printed.out, stderr=printed.err)
