"""What can go wrong with the local stack; each message says what to do.

StackError
├── ArtifactError      a file could not be fetched, or is not the one that was pinned
├── HomeError          MESH_HOME can't be used
├── PortTakenError     somebody else listens where a server of ours must
└── StartError         a server did not become ready
"""

from __future__ import annotations


class StackError(RuntimeError):
    """The local stack can't do what was asked; its text is for the person at the keyboard."""


class ArtifactError(StackError):
    """A file could not be fetched, or is not the one that was pinned."""


class HomeError(StackError):
    """MESH_HOME can't be used."""


class PortTakenError(StackError):
    """Somebody else listens where a server of ours must."""


class StartError(StackError):
    """A server did not become ready."""
