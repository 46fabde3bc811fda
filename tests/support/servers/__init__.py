"""Servers that tests of the receiver and of the packages in plugins/ start.

nats_server   NATS, and what a stream of it holds
s3_server     moto, an S3 server, and what its buckets hold
requestor     a requestor of storage commitment, which listens for the reports
"""
