"""The bytes of a data set: is it one, and where are its elements?

    sources         where the bytes are: in memory, in a spooled file, or inflated from either
    encodings       transfer syntaxes and the layouts of element headers
    scan            the way in: `scan` a source, get a `DataSetIndex`; says what is refused and what is accepted with a
                    warning
      compiled_walk   a regular data set in memory, by the compiled part if it is installed
      walker          all others: from element to element, to the end
        header_runs     headers that a data set has in common with earlier ones: known without a walk
      elements        what comes out of it: elements and their index
    values          one element, or the header, out of the index
      decoding        bytes -> values, by pydicom, which is loaded only when it is needed
      character_sets    which codecs a Specific Character Set means: the standard's terms only
      stray_delimiters  sequences without the delimiters at which pydicom stops

Nothing here is changed or written, and nothing knows where an instance came from.
"""
