"""What tests share: no test module imports from another one.

protocol   bytes of PDUs and messages, a sender on a plain socket, the core and a worker without a network
data       data sets and DICOM files, made and read without the code under test
programs   programs that run beside the tests: our receiver, DCMTK's, Orthanc, PostgreSQL; certificates for them
docs, parity, promises, fuzz, mutation, bench   what the folder of that name beside this one is made of
"""
