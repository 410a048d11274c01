"""Work spread over the machines of a Ray cluster: what is sent, what comes back, and how that is
merged into the run directory that one machine would have written.
"""
