"""`python -m blockzoo` is `blockzoo`."""

from blockzoo.cli import main

if __name__ == "__main__":
    main()
