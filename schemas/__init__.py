"""What an event is: Avro files, their catalogue, the codec, evolution.

The bottom layer: imports nothing of the mesh, no Kafka client, no database driver, no clock, no randomness.
"""
