"""What a report tells of: scores of held-out images, suspicious labels, what to label next."""
