"""Statistics of samples and seeds: intervals, comparisons, verdicts, fronts; without torch."""
