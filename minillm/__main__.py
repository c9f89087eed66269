"""`python -m minillm` is the command `minillm`."""

from minillm.commands.main import main

if __name__ == "__main__":
    main()
