"""Ask the service of this container whether every model is loaded: the image's health check.

It is run as a file every few seconds, and so imports nothing of the package.
"""

import http.client
import os
import ssl
import urllib.error
import urllib.request

__all__ = ["ask"]


def ask() -> None:
    """Raise an OSError, and so end with 1, where the service is not ready."""
    address = f"://127.0.0.1:{os.environ.get('PORT') or 8080}/health/ready"
    context = ssl.create_default_context()
    # In here it does not matter whose certificate it is.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # No proxy of the environment is asked.
    handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    opener = urllib.request.build_opener(*handlers)
    try:
        opener.open(f"http{address}", timeout=5).close()
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException):
        # It may have been told on its command line to speak TLS.
        opener.open(f"https{address}", timeout=5).close()


if __name__ == "__main__":
    ask()
