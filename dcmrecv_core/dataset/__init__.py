"""The bytes of a data set: are they one, and where are its elements?

    sources         where the bytes are: in memory, in a spooled file, or inflated from either
    encodings       transfer syntaxes and the formats of element headers
    scan            start here: `scan` a source, get a `DataSetIndex`; says what is refused and what is accepted with a
                    warning. regular_walk.pyx, where it is compiled, takes the regular beginning of a data set
      walker          walks data sets from element to element
        odd_places      unknown VRs, sequences without items, filler: what is clear all the same
        walk_state      where a walk is; how faults and warnings are told
      elements        the result: elements and their index
    values          one element, or the header, from the index
      raw_values        bytes and UIDs, without pydicom
      decoding          bytes -> values, by pydicom, which is loaded only when it is needed
      read_only         a pydicom Dataset that refuses to be changed: the header that hooks see
      character_sets    the codecs for a Specific Character Set: the standard's terms only
      mended_values     sequences without what pydicom misreads
    digest          of all its bytes, to know a file again

Nothing here changes or writes data, or knows where an instance came from.
"""
