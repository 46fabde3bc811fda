"""The parent process: one loop, which never blocks and touches neither the output file system nor a resolver.

    ownership    the state directory: one receiver's at a time, by a lock
    listener     the listening sockets: bound here, or handed over by systemd
    supervisor   the loop: signals, requests that wait for a worker, start and end
      frontdesk    accepts connections and reads each A-ASSOCIATE-RQ to its end, under one deadline
      pool         forks, watches and replaces workers; gives a complete request to an idle one
      background   a child process for each plugin with the hook `background`
      reload       SIGHUP: a forked probe tries the new settings, then they are taken over
      notify       tells systemd READY, STOPPING and WATCHDOG

Nothing below `net/supervisor` is imported by a worker's code; the pool's children run `net/worker/worker.py`.
"""
