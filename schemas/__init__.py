"""The schemas of events: Avro files, their catalogue, the codec, topics, and the systems as declarations.

The lowest layer: it imports nothing else of the mesh and uses no Kafka client, database driver, clock or random number.
"""
