"""Tests of the chaos harness itself: the checker on made-up histories, the proxy on real sockets."""
