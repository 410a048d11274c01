"""What happens during training: a run starts or resumes, and is logged, displayed, saved and sent
elsewhere.

Nothing is drawn here, and no finished run is read: see `views` and `uphill.run` for that.
"""
