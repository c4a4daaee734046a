"""Records as rows: the columns of results.csv, how records join, the file and the frame."""
