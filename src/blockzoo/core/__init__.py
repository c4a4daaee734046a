"""What every room needs: errors, positions, files, seeds, child processes."""
