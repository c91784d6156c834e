"""How fast the mesh is beside what one could use instead: `make bench`.

Every figure is a ratio of one run: ours and theirs alternate on the same servers, each in a process of its own, over
the same bytes; what counts is the median of the rounds. Each part of the run is a module with one function:

    conversion.py, intake.py    a stateless step against a bare consume → produce loop, and itself a record at a time
    sink.py                     the sink against COPY and INSERT ON CONFLICT of the same rows
"""
