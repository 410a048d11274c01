"""Work that is spread over the machines of a Ray cluster: what is sent there, what comes back, and
how that becomes the run directory that one machine would have written.
"""
