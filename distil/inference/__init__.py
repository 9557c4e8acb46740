"""From a student's scores to masks."""
