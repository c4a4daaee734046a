"""`python -m blockzoo.benchmark`, the early version's entry: it is `blockzoo benchmark`."""

from blockzoo.cli import benchmark_main

if __name__ == "__main__":
    benchmark_main()
