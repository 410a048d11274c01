"""What happens while training: a run begins or goes on, is logged, shown, saved and sent elsewhere.

Nothing is drawn here, and no finished run is read: that is what `views` and `uphill.run` are for.
"""
