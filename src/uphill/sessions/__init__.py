"""What happens during training: a run starts or resumes, and is logged, displayed, saved and sent
elsewhere.

No pictures are drawn here: see `views` for that. Of other runs only their settings and networks are
read, which a training starts from.
"""
