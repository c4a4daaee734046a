"""What every block must satisfy, judged line by line in processes with limits."""
