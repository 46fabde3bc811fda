"""A store in SQLite, in the state directory.

    store           what the processes of a receiver do
    administration  what dcmrecvctl does
    mending         a database of which a part cannot be read
    database        its file, its tables, its transactions

What a store must do says `delivery/store.py`; what is the same in both is in `delivery/common.py`.
"""
