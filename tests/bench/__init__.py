"""How fast the mesh is beside what one could use instead: `make bench`.

Every figure is a ratio of one run: ours and theirs alternate on the same servers, each in a process of its own, over
the same bytes; what counts is the median of the rounds. Each part of the run is a module with one function:

    conversion.py, intake.py    a stateless step against a bare consume → produce loop, and itself a record at a time
    sink.py                     the sink against COPY and INSERT ON CONFLICT of the same rows
    whole_way.py                notice to store: all workers at once against each alone, and how long a notice takes
    kafka_streams.py            conversion by two workers against Kafka Streams (java/), which does the same work
    propagation.py              household and fan-out against the bare loop, a record at a time, and Quix Streams

`sides/` has what runs in those processes (side.py starts them), place.py the servers, log.py their topics, people.py
and city.py what is handed over, figures.py, report.py and picture.py what becomes of it.
"""
