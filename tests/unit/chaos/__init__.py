"""Tests of the chaos harness: the checker on constructed evidence, the proxy on real sockets."""
