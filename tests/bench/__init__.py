"""Benchmark of the mesh against alternatives: `make bench`.

Each figure is a ratio within one run: the mesh and each alternative run in turn on the same servers, each in a process
of its own, over the same bytes; the median of the rounds is reported. Each part of a run is a module with one function
`measure`:

    conversion.py, intake.py    a stateless step against a bare consume → produce loop, and itself a record at a time
    sink.py                     the sink against COPY and INSERT ON CONFLICT of the same rows
    end_to_end.py               notice to store: all workers at once against each alone, and the latency of a notice
    kafka_streams.py            conversion by two workers against Kafka Streams (java/), which does the same work
    propagation.py              household and fan-out against the bare loop, a record at a time, and Quix Streams
    start.py                    imports of a worker, and time from process start to the first committed batch
    scale.py                    many municipalities, and many partitions
    compression.py              compression types and batch sizes

`sides/` has the code of the compared processes, which side.py starts. cluster.py runs servers, log.py accesses their
topics; people.py and city.py generate input; figures.py, report.py, picture.py write results.
"""
