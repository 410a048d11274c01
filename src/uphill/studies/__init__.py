"""Studies over many trainings or many estimators: variance, reproductions.

They train and measure with what `uphill.train` uses, and add nothing to how it learns.
"""
