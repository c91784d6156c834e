"""The partition of a key, as Kafka's Java clients choose it."""

from __future__ import annotations


def partition_for(key: bytes, partitions: int) -> int:
    """Return the partition that Kafka's Java clients choose for a key: murmur2 without sign, modulo `partitions`."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """Return MurmurHash2 (Austin Appleby) with the seed of Kafka's clients: unsigned, 32 bits."""
    mask, m, length = 0xFFFFFFFF, 0x5BD1E995, len(data)
    h = 0x9747B28C ^ length
    aligned = length - length % 4
    for start in range(0, aligned, 4):
        k = int.from_bytes(data[start : start + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ (k >> 24)) * m & mask)
    if length % 4:
        h = (h ^ int.from_bytes(data[aligned:], "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)
