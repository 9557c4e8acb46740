"""``dseg report``: one page about how good a model's masks are, and what to label next."""
