"""What stands for what was there.

key     the key, and where it may be
made    pseudonyms, UIDs and days, made with it
pairs   the list of those who must go back
"""
