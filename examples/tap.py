"""One tap at a running gateway: python tap.py HOST PORT DEVICE_ID KEY_FILE TOKEN STOP."""

import hmac, os, pathlib, socket, struct, sys, time  # noqa: E401, I001
import msgpack

host, port, device, key_file, token, stop = sys.argv[1:]
key, boot, nonce, secret = pathlib.Path(key_file).read_text(), time.time_ns(), os.urandom(16), b""
link = socket.create_connection((host, int(port))).makefile("rwb")
tap = [boot, 1, 1, bytes.fromhex(token), int(stop), time.time_ns() // 1000, 0, 0, 0, 0, None]
for frame in ([1, 0, 1, int(device), 1, boot, nonce, [1], "tap.py"], [3, 1], [10, 2, tap]):
    payload = msgpack.packb(frame)
    tag = hmac.digest(secret, b"C" + payload, "sha256")[:16] if secret else bytes(16)
    link.write((len(payload) + 16).to_bytes(4, "big") + payload + tag)
    link.flush()
    answer = msgpack.unpackb(link.read(int.from_bytes(link.read(4), "big"))[:-16])
    print(answer)  # noqa: T201
    if answer[0] == 2:  # the challenge: now both sides can make the session's key
        both = nonce + answer[3] + struct.pack(">QQB", int(device), boot, 1)
        secret = hmac.digest(bytes.fromhex(key), b"faregate link v1C" + both, "sha256")
