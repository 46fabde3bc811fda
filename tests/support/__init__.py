"""Shared by tests: no test module imports from another one.

protocol   bytes of PDUs and messages, a sender on a plain socket, the protocol core and a worker without a network
data       data sets and DICOM files, made and read without the code under test
programs   programs that tests start: our receiver, DCMTK's, Orthanc, PostgreSQL; certificates for them
servers    NATS, S3, a requestor of storage commitment: for tests of the packages in plugins/ too
docs, cluster, parity, promises, fuzz, mutation, bench   helpers of the test folder of that name
"""
