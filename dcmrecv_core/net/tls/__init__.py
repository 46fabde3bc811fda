"""TLS. Used by the front desk, which only looks at the first record, and by workers, which do all the rest.

    context        settings -> `ssl.SSLContext`, in the parent, before workers are forked
      der            keys, certificates and revocation lists in DER -> PEM, which Python's `ssl` reads
    client_hello   whether a whole ClientHello has come, without reading it from the socket
    connection     a connection over TLS, with the same calls as a plain one

ffdhe2048.pem has the Diffie-Hellman parameters of RFC 7919 that are used without `+dp`.
"""
