"""`mesh client`: writes ready files with which a Kafka client other than the mesh's connects as one user."""
