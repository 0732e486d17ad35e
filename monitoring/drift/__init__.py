"""Drift: does the newest traffic differ from the traffic that the champion learned from, and from the weeks before it?

Reading order: `references` (what is compared), `traffic` (events), `columns` (what is compared of them), `lists` (served
lists), `psi`, `resampling` (what a quiet shop scores), `judgement` (the verdict), `evidently_report`, `workspace`,
`job` (all of it, in a child process), `child` (the parent's side), `verdict` (what the monitor keeps).
"""
