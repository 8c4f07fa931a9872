"""Recount all accounts' money in a journal folder, from docs/journal.md alone: DIR [--quick].

Prints totals as JSON, exit status 1 if anything differs; --quick trusts the hashes without CRCs.
"""

import hashlib
import json
import sys
from pathlib import Path
from struct import unpack_from

TABLE = list(range(256))
for _ in range(8):
    TABLE = [n >> 1 ^ (0x82F63B78 if n & 1 else 0) for n in TABLE]


def is_sealed(data: bytes, field: int) -> bool:
    crc = 0xFFFFFFFF
    for byte in b"" if "--quick" in sys.argv else data[:field] + bytes(4) + data[field + 4 :]:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return "--quick" in sys.argv or unpack_from("<I", data, field)[0] == crc ^ 0xFFFFFFFF


def read_groups(folder: Path):
    chain, base = bytes(32), 0
    for path in sorted(folder.glob("*.seg")):
        data, at = path.read_bytes(), 4096
        if not any(data[:at]):
            return  # prepared, not used yet
        if data[:4] != b"FGS1" or data[32:64] != chain or not is_sealed(data[:at], 96):
            sys.exit(f"{path}: the segment's head is wrong, or a segment is missing before it")
        while any(data[at : at + 128]):
            group = data[at : at + 128 + unpack_from("<I", data, at + 16)[0]]
            if unpack_from("<4s4xQ", group) != (b"FGG1", base + at) or group[80:112] != chain:
                sys.exit(f"{path}, offset {at}: this is not the group that follows")
            if not is_sealed(group, 76):
                sys.exit(f"{path}, offset {at}: the checksum is wrong")
            chain, at = hashlib.sha256(group).digest(), at + len(group)
            yield group
        base += unpack_from("<Q", data, 80)[0]


said, counted = {"records": 0, "fare_minor": 0, "amount_minor": 0}, {}
inline, cells = {}, {}
for group in read_groups(Path(sys.argv[1])):
    at = 128
    while at < len(group):
        size, account, fare, amount = unpack_from("<I28xQ40xqq", group, at)
        if group[at + 5] != 3:  # reason 3: the fare is the operator's loss
            counted[account] = counted.get(account, 0) + amount - fare
        for name, value in zip(said, (1, fare, amount), strict=True):
            said[name] += value
        for item in range(at + 168, at + size, 72):
            if group[item : item + 2] == b"\x01\x00":  # line 0 of an account
                owner, purse_0, purse_1 = unpack_from("<Q8xqq", group, item + 8)
                inline[owner] = purse_0 + purse_1
            elif group[item] == 2:  # a cell: its owner is the record's account
                cell, kind, balance = unpack_from("<I4xB11xq", group, item + 4)
                cells[cell] = account, balance if kind == 7 else 0
        at += size
stored = dict(inline)
for account, balance in cells.values():  # further purses
    stored[account] = stored.get(account, 0) + balance
wrong = sorted(a for a in counted | stored if counted.get(a, 0) != stored.get(a, 0))
said |= {"accounts": len(stored), "balance_minor": sum(stored.values()), "wrong": wrong[:20]}
sys.stdout.write(json.dumps(said) + "\n")
sys.exit(1 if wrong else 0)
