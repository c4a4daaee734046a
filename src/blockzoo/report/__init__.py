"""Figures and pages made from results; never touches torch."""
