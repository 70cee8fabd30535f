"""One script a question; each prints one JSON object with its conditions, figures and a baseline of the same run."""
