"""`python -m blockzoo.visualize`, the early version's entry: it is `blockzoo visualize`."""

from blockzoo.cli import visualize_main

if __name__ == "__main__":
    visualize_main()
