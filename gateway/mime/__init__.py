"""Octets to structure to octets (RFC 5322, 2045, 2046, 2047, 2231, 6532), on spans of one buffer.

    header       header sections: fields with their spans, look-ups, edits by splice
    words        encoded words and folding          addresses   address lists, refused where two readings exist
    params       Content-Type, Content-Disposition and their parameters
    entity       the tree of parts, cut exactly and in one pass
    transfer     transfer encodings decoded without loss, and written
    canonical    the 7-bit form that we sign        fields      one header field in that form
    openpgp      the shapes of OpenPGP recognised by their packets (RFC 9580)
    smime_forms  the shapes of S/MIME recognised and written (RFC 8551 3, RFC 1847)
    build        parts, multiparts, delivery reports (RFC 3464) made from nothing
    trace        trace fields, status fields that only the gateway may set, subject tags and keywords

Nothing is ever written back from a parsed form: what was signed stays as it came. Everything is linear and bounded.
"""
