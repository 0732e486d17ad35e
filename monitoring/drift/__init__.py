"""Drift: does the newest traffic differ from what the champion learned from, and from the weeks before it?

Reading order: `references` (what is compared), `traffic` (events), `columns` (what is compared of them), `lists`
(served lists), `item_map`, `psi`, `resampling` (what a quiet shop scores), `judgement` (thresholds), `own_metrics`,
`evidently_report`, `report_files`, `workspace`, `assessment` (one report), `job` (the child process), `child` (the
monitor's side), `verdict` (what the monitor keeps), `ui`.
"""
