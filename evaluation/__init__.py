"""The measuring instrument: simulate, detect, and hold what was found against what was planted.

`evaluation.seeds` keeps apart what a detector may learn from and what it is scored on,
`evaluation.trial` plays one seed, `evaluation.matching` and `evaluation.scores` judge it.
"""
