"""Run directories: what training writes, and what evaluation and plots read."""
