"""`unvisor profile`: where each millisecond goes, what the machine gives, against a budget.

A session's *profile* is the wearer's (`edge/profile.py`); nothing here touches it.
"""
