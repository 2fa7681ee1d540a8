"""What a server is for the checks."""

from kit import Failure, cluster


class Idp:
    """A real server. Its methods are the only ones that know how it is installed, configured and rotated."""

    name = ""
    #: The slow part of its setup: a build, or a download of hundreds of megabytes. Not run unless it is
    #: named.
    slow = ""
    algorithms = ["RS256"]
    audience = "orders-api"
    #: How it changes its keys, for the table.
    rotation = ""
    #: Whether a rotation withdraws the old key at once, so that older tokens are no longer good.
    hard_rotation = False
    claim_to_headers = [{"claim_name": "sub", "header_name": "x-jwt-sub"}]
    #: More fields of the provider.
    provider_fields = {}

    def __init__(self, folder):
        self.folder = folder
        self.version = "-"
        self.process = None

    def install(self):
        raise NotImplementedError

    def start(self):
        raise NotImplementedError

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None

    def token(self, algorithm=None):
        """A token of the server's own token endpoint."""
        raise NotImplementedError

    def try_token(self):
        try:
            return self.token()
        except (OSError, Failure):
            return None

    def rotate(self):
        raise NotImplementedError

    def cluster(self):
        return cluster("idp", self.port)

    def more_clusters(self):
        return []

    def more_listeners(self):
        return []

    def expected_headers(self, claims):
        """What the upstream has to see for these claims."""
        return {"x-jwt-sub": claims["sub"]}

    def extras(self):
        """More checks, functions of Envoy, a folder and the upstream, with a docstring that names them."""
        return []
