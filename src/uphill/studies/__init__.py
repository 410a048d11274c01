"""Studies over many trainings or many estimators: comparisons, sweeps, searches, sensitivity,
variance, reproductions.

They use the same training and evaluation as `uphill.train`, and don't change how it learns.
"""
