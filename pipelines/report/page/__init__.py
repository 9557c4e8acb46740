"""The page: HTML, charts, and a file for each of its parts."""
