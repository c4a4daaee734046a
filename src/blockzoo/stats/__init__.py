"""Statistics of samples and seeds: intervals, paired comparisons, verdicts, fronts; never touches torch."""
