"""Sockets, processes, signals and clocks: the only place that has them.

listener     the listening sockets: bound here or taken from systemd
supervisor   one loop: front desk, pool, signals; never touches the output file system or a resolver
  frontdesk  accepts, reads each A-ASSOCIATE-RQ to its end under one deadline
  pool       forks, watches and replaces workers
  handover   how a connection and its request get from desk to worker
worker       one process, one association at a time
  session    one association: joins connection, protocol core and receiver
  hostnames  what the log calls a peer
  connection a plain socket (or TLS) with the same few calls
heartbeat    what a worker tells the supervisor without a system call
notify       systemd's READY, STOPPING and WATCHDOG
"""
