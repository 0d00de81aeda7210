#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes launches.tsv and id-blocks.tsv, what the simulated SNP firmware is held to.

It shares no code with the simulator: SHA-384 is hashlib's, ECDSA is written out below. With
--check nothing is written; the exit status says whether the files are as they would be written.
With --signatures DIRECTORY the signatures of id-blocks.tsv are written there for openssl to
verify, as NAME.pem, NAME.sig and NAME.data, and NAME and "good" or "bad" for each to stdout.
"""

import base64
import hashlib
import struct
import sys
import textwrap
from pathlib import Path

NORMAL, VMSA, ZERO, UNMEASURED, SECRETS, CPUID = 1, 2, 3, 4, 5, 6
TYPES = {"normal": NORMAL, "zero": ZERO, "unmeasured": UNMEASURED, "secrets": SECRETS,
         "cpuid": CPUID}
POLICY = 0x30000

# Name, vCPUs, VMSA features, steps: type:first guest-physical address:pages.
LAUNCHES = [
    ("empty", 0, 0x1, ""),
    ("one-page", 0, 0x1, "normal:100000:1"),
    ("one-zero", 0, 0x1, "zero:100000:1"),
    ("one-unmeasured", 0, 0x1, "unmeasured:100000:1"),
    ("secrets-and-cpuid", 0, 0x1, "secrets:100000:1 cpuid:101000:1"),
    ("many-pages", 0, 0x1, "normal:100000:16 zero:110000:16 unmeasured:120000:16"),
    ("not-in-order", 0, 0x1, "normal:13f000:1 cpuid:101000:1 normal:100000:1 zero:120000:2"),
    ("one-vcpu", 1, 0x1, "normal:100000:1"),
    ("vcpu-alone", 1, 0x1, ""),
    ("debug-swap", 2, 0x21, "normal:100000:3 secrets:103000:1"),
    ("all", 3, 0x221, "normal:100000:4 zero:104000:2 secrets:106000:1 cpuid:107000:1 "
                      "unmeasured:108000:5 normal:13f000:1"),
]


def sha384(data):
    return hashlib.sha384(data).digest()


def contents(page_type, gpa):
    if page_type == CPUID:
        return bytes(4096)
    page = gpa // 4096
    return bytes((i * 31 + page * 17 + (i >> 8)) & 0xFF for i in range(4096))


def extend(digest, page_type, gpa, page):
    measured = sha384(page) if page_type in (NORMAL, VMSA) else bytes(48)
    info = digest + measured + struct.pack("<HBBBBBBQ", 0x70, page_type, 0, 0, 0, 0, 0, gpa)
    return sha384(info)


def reset_vmsa(features):
    """What KVM makes of a vCPU whose registers nobody has set."""
    page = bytearray(4096)

    def segment(offset, selector, attributes, base):
        struct.pack_into("<HHIQ", page, offset, selector, attributes, 0xFFFF, base)

    for offset in (0x00, 0x20, 0x30, 0x40, 0x50):
        segment(offset, 0, 0x92, 0)
    segment(0x10, 0xF000, 0x9A, 0xFFFF0000)
    segment(0x60, 0, 0, 0)
    segment(0x70, 0, 0x82, 0)
    segment(0x80, 0, 0, 0)
    segment(0x90, 0, 0x83, 0)
    for offset, value in ((0xD0, 0x1000), (0x148, 0x40), (0x158, 0x10), (0x160, 0x400),
                          (0x168, 0xFFFF0FF0), (0x170, 0x2), (0x178, 0xFFF0),
                          (0x268, 0x0007040600070406), (0x310, 0x600), (0x3B0, features),
                          (0x3E8, 1)):
        struct.pack_into("<Q", page, offset, value)
    struct.pack_into("<I", page, 0x408, 0x1F80)
    struct.pack_into("<H", page, 0x410, 0x37F)
    return bytes(page)


# Of struct kvm_regs and struct kvm_sregs, in their order; offsets in a VMSA.
REGISTERS = (0x1F8, 0x318, 0x308, 0x310, 0x330, 0x338, 0x1D8, 0x328, 0x340, 0x348, 0x350, 0x358,
             0x360, 0x368, 0x370, 0x378, 0x178)
SEGMENTS = (0x10, 0x30, 0x00, 0x40, 0x50, 0x20, 0x90, 0x70)


def registers_vmsa():
    """What the launch called "registers" sets, each register to a value of its own."""
    page = bytearray(4096)
    for i, offset in enumerate(REGISTERS):
        struct.pack_into("<Q", page, offset, (i + 1) * 0x0101010101010101)
    for i, offset in enumerate(SEGMENTS):
        attributes = (i * 0x123 + 0x195) & 0xFFF
        if i in (3, 7):  # marked as unusable
            attributes &= ~0x80
        struct.pack_into("<HHIQ", page, offset, 8 * (i + 1), attributes, 0xFFFFF - i,
                         0x1000 * (i + 1))
    struct.pack_into("<HHIQ", page, 0x60, 0, 0, 0x7F, 0x17000)
    struct.pack_into("<HHIQ", page, 0x80, 0, 0, 0xFF, 0x18000)
    for offset, value in ((0xD0, 0x1500), (0x148, 0x60), (0x150, 0x5000), (0x158, 0x31),
                          (0x160, 0x400), (0x168, 0xFFFF0FF0), (0x170, 0x42), (0x240, 0x1234),
                          (0x268, 0x0007040600070405), (0x3B0, 0x1), (0x3E8, 7)):
        struct.pack_into("<Q", page, offset, value)
    struct.pack_into("<IHHH", page, 0x408, 0x1FA0, 0xA5, 0x1234, 0x27F)
    return bytes(page)


def measure(vcpus, features, steps):
    digest = bytes(48)
    for step in steps.split():
        name, first, pages = step.split(":")
        for i in range(int(pages)):
            gpa = int(first, 16) + i * 4096
            page = contents(TYPES[name], gpa)
            digest = extend(digest, TYPES[name], gpa, page)
    before = digest
    for _ in range(vcpus):
        digest = extend(digest, VMSA, 0xFFFFFFFFF000, reset_vmsa(features))
    return before, digest


def launches():
    lines = ["name\tvcpus\tfeatures\tsteps\tbefore_vmsas\tafter_vmsas"]
    for name, vcpus, features, steps in LAUNCHES:
        before, after = measure(vcpus, features, steps)
        lines.append(f"{name}\t{vcpus}\t{features:#x}\t{steps or '-'}\t{before.hex()}\t"
                     f"{after.hex()}")
    digest = extend(bytes(48), VMSA, 0xFFFFFFFFF000, registers_vmsa())
    lines.append(f"registers\t1\t0x1\t-\t{bytes(48).hex()}\t{digest.hex()}")
    return "\n".join(lines) + "\n"


# NIST P-384: FIPS 186-4, D.1.2.4.
P = 2**384 - 2**128 - 2**96 + 2**32 - 1
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
G = (0xAA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB7,
     0x3617DE4A96262C6F5D9E98BF9292DC29F8F41DBD289A147CE9DA3113B5F0B8C00A60B1CE1D7E819D7A431D7C90EA0E5F)


def add(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % P == 0:
        return None
    if a == b:
        slope = 3 * (a[0] * a[0] - 1) * pow(2 * a[1], -1, P) % P
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P) % P
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def multiply(scalar, point):
    result = None
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def number(text):
    """A number between 1 and N - 1, the same for the same text."""
    return int.from_bytes(hashlib.sha512(text.encode()).digest(), "big") % (N - 1) + 1


def public(secret):
    return multiply(secret, G)


def sign(secret, data):
    digest = int.from_bytes(sha384(data), "big")
    nonce = number(f"nonce {secret:x} {digest:x}")
    r = multiply(nonce, G)[0] % N
    return r, pow(nonce, -1, N) * (digest + r * secret) % N


def id_block(digest, version=1, policy=POLICY):
    return digest + bytes(range(16)) + bytes(range(16, 32)) + struct.pack("<IIQ", version, 2,
                                                                         policy)


def packed_key(point):
    return (struct.pack("<I", 2) + point[0].to_bytes(72, "little") +
            point[1].to_bytes(72, "little")).ljust(0x404, b"\0")


def id_row(name, error, block, key, signature, author=None, key_signature=None):
    fields = [name, f"{error:#x}", block.hex()]
    for pair in (key, signature, author, key_signature):
        fields += [f"{value:096x}" for value in pair] if pair else ["-", "-"]
    return "\t".join(fields)


def id_blocks():
    """For the launch "one-vcpu" with the default policy."""
    digest = measure(1, 0x1, "normal:100000:1")[1]
    block = id_block(digest)
    rows = ["name\terror\tblock\tkey_x\tkey_y\tr\ts\tauthor_x\tauthor_y\tauthor_r\tauthor_s"]
    # Enough of them that every number is met with its highest bit set and with it clear.
    for i in range(8):
        key = number(f"id key {i}")
        author = number(f"author key {i}")
        rows.append(id_row(f"good-{i}", 0, block, public(key), sign(key, block)))
        rows.append(id_row(f"good-author-{i}", 0, block, public(key), sign(key, block),
                           public(author), sign(author, packed_key(public(key)))))

    key = number("id key")
    author = number("author key")
    point = public(key)
    good = sign(key, block)
    other = id_block(sha384(b"another guest"))
    rows.append(id_row("digest", 0xB, other, point, sign(key, other)))
    other = id_block(digest, policy=POLICY | 1 << 19)
    rows.append(id_row("policy", 0x7, other, point, sign(key, other)))
    other = id_block(digest, version=2)
    rows.append(id_row("version", 0x16, other, point, sign(key, other)))
    rows.append(id_row("other-block-signed", 0xA, block, point, sign(key, other)))
    rows.append(id_row("other-key-signed", 0xA, block, point, sign(author, block)))
    rows.append(id_row("r-is-zero", 0xA, block, point, (0, good[1])))
    rows.append(id_row("s-is-zero", 0xA, block, point, (good[0], 0)))
    rows.append(id_row("s-is-too-great", 0xA, block, point, (good[0], N)))
    rows.append(id_row("not-on-the-curve", 0x27, block, (point[0], point[1] ^ 1), good))
    rows.append(id_row("key-is-zero", 0x27, block, (0, 0), good))
    signed = sign(author, packed_key(point))
    rows.append(id_row("author-signed-block", 0xA, block, point, good, public(author),
                       sign(author, block)))
    rows.append(id_row("author-not-on-the-curve", 0x27, block, point, good,
                       (public(author)[0], public(author)[1] ^ 1), signed))
    return "\n".join(rows) + "\n"


def der(tag, content):
    """ASN.1 of less than 128 bytes."""
    return bytes((tag, len(content))) + content


def der_number(value):
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def export_signature(directory, name, key, signature, data):
    algorithm = der(0x30, der(0x06, bytes.fromhex("2a8648ce3d0201")) +
                    der(0x06, bytes.fromhex("2b81040022")))
    point = b"\0\x04" + bytes.fromhex(key[0] + key[1])
    encoded = base64.b64encode(der(0x30, algorithm + der(0x03, point))).decode()
    (directory / f"{name}.pem").write_text("-----BEGIN PUBLIC KEY-----\n" + "\n".join(
        textwrap.wrap(encoded, 64)) + "\n-----END PUBLIC KEY-----\n", encoding="ascii")
    r, s = (int(value, 16) for value in signature)
    (directory / f"{name}.sig").write_bytes(der(0x30, der_number(r) + der_number(s)))
    (directory / f"{name}.data").write_bytes(data)


def export_signatures(directory):
    for line in id_blocks().splitlines()[1:]:
        name, error, block, *numbers = line.split("\t")
        key, signature, author, key_signature = (numbers[i:i + 2] for i in range(0, 8, 2))
        is_good = int(error, 16) not in (0xA, 0x27)
        if author[0] == "-":
            export_signature(directory, name, key, signature, bytes.fromhex(block))
        else:
            point = tuple(int(value, 16) for value in key)
            export_signature(directory, name, author, key_signature, packed_key(point))
        print(name, "good" if is_good else "bad")


def main():
    if sys.argv[1:2] == ["--signatures"]:
        export_signatures(Path(sys.argv[2]))
        return 0
    here = Path(__file__).parent
    check = sys.argv[1:] == ["--check"]
    status = 0
    for name, text in (("launches.tsv", launches()), ("id-blocks.tsv", id_blocks())):
        path = here / name
        if not check:
            path.write_text(text, encoding="ascii")
        elif path.read_text(encoding="ascii") != text:
            print(f"{name} is not what generate.py makes")
            status = 1
    return status


sys.exit(main())
