"""`python -m fsgw`: the same as the `fsgw` command."""

from fsgw.cli import main

if __name__ == "__main__":
    main()
