"""Whether the API can be reached: a connection with TLS, and not one byte of a request."""

import asyncio
import ssl

from ingest.core.address import Address

_CONNECT_S = 5.0


def reach(address: Address, context: ssl.SSLContext) -> str:
    """Try to connect and give what came of it, in a few words. Total."""
    try:
        asyncio.run(_connect(address, context))
    except ssl.SSLCertVerificationError as error:
        return f"no: its certificate does not hold ({error.verify_message})"
    except TimeoutError:
        return f"no: no connection within {_CONNECT_S:g} s"
    except OSError as error:
        return f"no: {error.strerror or error}"
    return "yes"


async def _connect(address: Address, context: ssl.SSLContext) -> None:
    secure = context if address.scheme == "https" else None
    async with asyncio.timeout(_CONNECT_S):
        _, writer = await asyncio.open_connection(address.host, address.port, ssl=secure)
    writer.close()
