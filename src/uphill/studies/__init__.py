"""Studies over many trainings or many estimators: variance, reproductions."""
