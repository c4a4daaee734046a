"""`python -m blockzoo.train`, the early version's entry: it is `blockzoo train`."""

from blockzoo.cli import train_main

if __name__ == "__main__":
    train_main()
