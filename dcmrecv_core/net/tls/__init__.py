"""TLS. The front desk waits for the first record without reading it; workers do all the rest.

    context        settings -> `ssl.SSLContext`, in the parent, before workers are forked
      der            keys, certificates and revocation lists in DER -> PEM, which Python's `ssl` reads
    validity       until when certificates and revocation lists are valid
    client_hello   how many bytes a whole ClientHello has, from its first bytes
    refusals       what an administrator can do about a handshake that failed
    connection     a TLS connection, with the same calls as a plain one

Without `+dp` the Diffie-Hellman parameters of RFC 7919 in ffdhe2048.pem are used.
"""
