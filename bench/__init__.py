"""`make bench`: one table of the speed goals, ours and the peers' in the same run. Not part of the wheel."""
