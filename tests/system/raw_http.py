"""HTTP by the byte, for tests of what no honest client sends."""
import re
import socket
import struct

from rankd import PATIENCE, Reply


def post_of(body, *headers):
    lines = [b"POST /v1/events HTTP/1.1", b"Host: localhost", b"Content-Type: application/json", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class Raw:
    """A TCP connection of which every byte is ours."""

    def __init__(self, address, timeout_s=20):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout_s * PATIENCE)
        self.kept = b""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)
        return self

    def more(self):
        """False at the end, which may come as a reset."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        self.kept += data
        return bool(data)

    def reply(self, head=False):
        """The next reply on the connection."""
        while b"\r\n\r\n" not in self.kept:
            assert self.more(), f"the connection ended after {self.kept!r}"
        start, _, self.kept = self.kept.partition(b"\r\n\r\n")
        lines = start.decode("ascii").split("\r\n")
        status = re.fullmatch(r"HTTP/1\.1 (\d{3}) [A-Za-z ]+", lines[0])
        assert status, lines
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
        n = 0 if head or status[1] == "100" else int(headers["content-length"])
        while len(self.kept) < n:
            assert self.more(), "the body is cut"
        body, self.kept = self.kept[:n], self.kept[n:]
        return Reply(int(status[1]), headers, body)

    def ended(self):
        """Whether the server closes without another byte."""
        while self.more():
            pass
        return self.kept == b""

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
