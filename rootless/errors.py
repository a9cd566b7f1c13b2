"""Every failure that a user can see.

::

    RootlessError                 exit code 125 unless it says otherwise
    ├── InvalidRequest            the command line, a Dockerfile or a configuration file is wrong
    ├── Unsupported               understood, and refused by name with the reason
    ├── NotFound                  no such image, container, volume, network, file ...
    ├── Conflict                  the name is taken, or the object is in use
    ├── HostLacks                 this kernel or user may not do what was asked
    ├── ImageRefused              bytes that are not what they claim to be
    ├── RegistryFailed            a registry answered with an error
    │   ├── RegistryUnreachable   ... or not at all
    │   └── RegistryDenied        ... or wants other credentials
    ├── StoreFailed               the files under our directories cannot be read or written
    ├── BuildFailed               an instruction of a Dockerfile failed
    └── LaunchFailed              a container could not be started (125), executed (126) or found (127)

Messages are lower-case, name the object, and end without a full stop; ``hint`` holds the remedy.
Raise once, where the object is known; ``cli`` renders once.

As docker does, commands about what is there already end with 1 where that is not there or in use.
"""

from __future__ import annotations


class RootlessError(Exception):
    """A failure with a sentence for the user, a remedy, and docker's exit code."""

    exit_code = 125

    def __init__(self, message: str, *, hint: str | None = None, exit_code: int | None = None):
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code


class InvalidRequest(RootlessError):
    """What was asked cannot be understood."""


class Unsupported(RootlessError):
    """What was asked is understood and refused, with the reason."""


class NotFound(RootlessError):
    """No object has that name."""


class Conflict(RootlessError):
    """The name is taken or the object is in use."""


class HostLacks(RootlessError):
    """This host cannot give what was asked."""


class ImageRefused(RootlessError):
    """Content that differs from its digest, its size, its media type or its specification."""


class RegistryFailed(RootlessError):
    """A registry answered with an error."""


class RegistryUnreachable(RegistryFailed):
    """No answer came from the registry's host."""


class RegistryDenied(RegistryFailed):
    """The registry refused these credentials, or their absence."""


class StoreFailed(RootlessError):
    """Our own directories cannot be read or written."""


class BuildFailed(RootlessError):
    """An instruction of a Dockerfile failed."""


class LaunchFailed(RootlessError):
    """A container could not be started."""


def code_of(error: RootlessError) -> int:
    """The exit code of a command about what is there already."""
    if isinstance(error, (Conflict, NotFound)) and error.exit_code == RootlessError.exit_code:
        return 1
    return error.exit_code
