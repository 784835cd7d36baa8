"""The command line of recloop: `python run.py --help` lists what it can do."""

from commands.app import main

if __name__ == "__main__":
    main()
