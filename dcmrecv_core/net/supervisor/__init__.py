"""The parent process: one loop, which never blocks and touches neither the output file system nor a resolver.

    ownership    locks the state directory, so that only one receiver uses it
    listener     the listening sockets: bound here, or handed over by systemd
    supervisor   the loop: start and stop
      signals      the signals since the last turn, one flag each
      frontdesk    reads each A-ASSOCIATE-RQ that no worker has read at once, under one deadline
      pool         forks, watches and replaces workers; hands a complete request to an idle one
      waiting      requests that wait for a place, and who gets the next one
      eviction     which associations have to make room for them
      refusals     why some get none, for the log
      background   runs a child process for each plugin with the hook `background`
      succession   an upgrade: another program takes over, or this one from another (net/upgrade)
      reload       SIGHUP: a forked probe checks the new settings, then the supervisor applies them
      notify       tells systemd READY, STOPPING and WATCHDOG

The code of `net/worker` imports nothing from here; the pool's children run `net/worker/worker.py`.
"""
