"""Where a gRPC server of ours listens."""

from __future__ import annotations

from grpc import aio


async def listen(server: aio.Server, address: str) -> int:
    """Bind it to ``host:port`` and start it. Several may share a port (SO_REUSEPORT); 0 is any. Returns the port.

    Raises:
        OSError: the address cannot be had.
    """
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as problem:
        raise OSError(f"{address} cannot be listened on") from problem
    await server.start()
    return int(port)
