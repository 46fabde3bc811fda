"""A store in PostgreSQL, which several receivers share: each of them is a node.

    store           what the processes of a receiver do
    administration  what dcmrecvctl does
    leases          keeps the claims of a process while its hook runs
    journal         reads what workers have recorded
    database        its connection, its tables, its transactions

What a store must do says `delivery/store.py`; what is the same in both is in `delivery/common.py`.

All times are those of the database. A claim has a lease: a process that lives renews it, and work of one that does not
is taken over when it ends. Each claim has a token of its own, and what a process reports under an old one has no
effect. A delivery of a local file has the node that stored it, and no other node claims it.
"""
