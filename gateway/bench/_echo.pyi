from typing import NoReturn

def serve_echo(listener_fd: int) -> NoReturn:
    """Send everything back on every connection of this listening socket, until a signal handler raises.

    Raises: OSError: the socket cannot be watched.
    """
