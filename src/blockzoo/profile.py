"""`python -m blockzoo.profile`, the early version's entry: it is `blockzoo profile`."""

from blockzoo.cli import profile_main

if __name__ == "__main__":
    profile_main()
