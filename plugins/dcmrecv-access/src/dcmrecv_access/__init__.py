"""Who may open an association with dcmrecv.

plugin.py   the hooks: options in, a verdict on each association out
rules.py    the rules, and what they say about an association; no hooks, no log
"""
