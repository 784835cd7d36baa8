"""The command line of recloop: `python run.py --help` lists what it can do."""

import sys

try:
    from commands.app import main
except ModuleNotFoundError as missing:
    sys.exit(
        f"{missing.name} is not installed for {sys.executable}: `make demo` sets up .venv once, "
        "then run this with .venv/bin/python"
    )

if __name__ == "__main__":
    main()
