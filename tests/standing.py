"""Where a training of two seeds stands: what a checkpoint says of it."""

from uphill.policies.actions import Choice
from uphill.policies.encodings import Numbers
from uphill.runs.checkpoint import Standing
from uphill.runs.milestones import Milestone, Seen, Tracked

FACTS = Standing(
    num_updates=3,
    num_transitions=(64, 70),
    encoding=Numbers((4,)),
    action_kind=Choice(2, 0, "int64"),
    reward_threshold=None,
    seconds=1.5,
    compile_seconds=1.0,
    metrics_offset=10,
    recent=(((2.0, 40.0),), ()),
    best_scores=(20.0, None),
    evaluated_at=0,
    tracked=(Tracked(2, 40.0, 25.0, 31.0, (Seen("first_curve", 31.0),)), Tracked()),
    milestones=(Milestone("first_curve", 0, 2, 40, 1.25, 31.0, "ab"),),
    stopped=False,
    device={"platform": "cpu"},
    best_steps=(40, 0),
    best_seconds=(1.25, 0.0),
)
