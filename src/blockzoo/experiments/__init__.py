"""What BlockZoo is for: blocks placed, measured, trained and swept, each outcome a record."""
