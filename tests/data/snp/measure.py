#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Launch digests of OVMF images, for libgmem's to be held to: no code in common, and slow.

measure.py IMAGE VMM VCPUS SIGNATURE FEATURES   prints the digest, and how many sections there are;
                                                VMM is QEMU, ec2 or gce
measure.py --vectors                            says whether vectors.tsv agrees
"""

import hashlib
import struct
import sys
import uuid
from pathlib import Path

NORMAL, VMSA, ZERO, UNMEASURED, SECRETS, CPUID = 1, 2, 3, 4, 5, 6
PAGE = 4096


def sha384(data):
    return hashlib.sha384(data).digest()


def guid(text):
    return uuid.UUID(text).bytes_le


class Image:
    def __init__(self, path):
        self.data = Path(path).read_bytes()
        self.entries = {}
        end = len(self.data) - 32
        length, name = struct.unpack_from("<H16s", self.data, end - 18)
        if name == guid("96b582de-1fb2-45f7-baea-a366c55a082d"):
            start, end = end - length, end - 18
            while end > start:
                length, name = struct.unpack_from("<H16s", self.data, end - 18)
                self.entries[name] = self.data[end - length:end - 18]
                end -= length
        self.sections = self.read_sections()

    def numbers(self, name, count):
        entry = self.entries.get(guid(name))
        return struct.unpack_from(f"<{count}I", entry) if entry else (0,) * count

    def read_sections(self):
        back, = self.numbers("dc886566-984a-4798-a75e-5585a7bf67cc", 1)
        if not back:
            return []
        at = len(self.data) - back
        magic, _, version, count = struct.unpack_from("<4sIII", self.data, at)
        assert (magic, version) == (b"ASEV", 1)
        return [struct.unpack_from("<III", self.data, at + 16 + 12 * i) for i in range(count)]


def hashes_page(offset, kernel, initrd, cmdline):
    def entry(name, data):
        return guid(name) + struct.pack("<H", 50) + hashlib.sha256(data).digest()

    table = (entry("97d02dd8-bd20-4c94-aa78-e7714d36ab2a", cmdline + b"\0") +
             entry("44baf731-3a2f-4bd7-9af1-41e29169781d", initrd) +
             entry("4de79437-abd2-427f-b835-d5b172d2045b", kernel))
    head = guid("9438d606-4f22-4cc9-b479-a793d411fd21") + struct.pack("<H", 18 + len(table))
    return (bytes(offset) + head + table).ljust(PAGE, b"\0")


# cs of the first, cs of the others, ss, data segments, tr, g_pat, mxcsr, fcw
STATES = {
    "QEMU": (0x9B, 0x9B, 0x93, 0x93, 0x8B, 0x7040600070406, 0x1F80, 0x37F),
    "ec2": (0x9A, 0x9B, 0x92, 0x93, 0x83, 0x7040600070406, 0, 0),
    "gce": (0x9B, 0x9B, 0x93, 0x93, 0x8B, 0x70106, 0, 0),
}


def vmsa(vmm, start, first, signature, features):
    state = STATES[vmm]
    page = bytearray(PAGE)
    segments = {0x00: (0, state[3]), 0x20: (0, state[2]), 0x30: (0, state[3]),
                0x40: (0, state[3]), 0x50: (0, state[3]), 0x60: (0, 0), 0x70: (0, 0x82),
                0x80: (0, 0), 0x90: (0, state[4])}
    for offset, (base, attributes) in segments.items():
        struct.pack_into("<HHIQ", page, offset, 0, attributes, 0xFFFF, base)
    struct.pack_into("<HHIQ", page, 0x10, 0xF000, state[0 if first else 1], 0xFFFF,
                     start >> 16 << 16)
    numbers = {0xD0: 0x1000, 0x148: 0x40, 0x158: 0x10, 0x160: 0x400, 0x168: 0xFFFF0FF0, 0x170: 2,
               0x178: start & 0xFFFF, 0x268: state[5],
               0x310: signature if vmm == "QEMU" else 0x600, 0x3B0: features | 1, 0x3E8: 1}
    for offset, number in numbers.items():
        struct.pack_into("<Q", page, offset, number)
    struct.pack_into("<I", page, 0x408, state[6])
    struct.pack_into("<H", page, 0x410, state[7])
    return bytes(page)


class Digest:
    def __init__(self):
        self.value = bytes(48)

    def add(self, page_type, gpa, page=None):
        contents = sha384(page) if page is not None else bytes(48)
        self.value = sha384(self.value + contents + struct.pack("<HBBIQ", 0x70, page_type, 0, 0,
                                                                gpa))


def measure(image, vmm, vcpus, signature, features, boot=None):
    digest = Digest()
    base = (1 << 32) - len(image.data)
    for offset in range(0, len(image.data), PAGE):
        digest.add(NORMAL, base + offset, image.data[offset:offset + PAGE])
    types = {1: UNMEASURED if vmm == "gce" else ZERO, 2: SECRETS, 3: CPUID, 4: ZERO, 0x10: ZERO}
    sections = image.sections
    if vmm == "ec2":
        sections = sorted(sections, key=lambda section: section[2] == 3)
    for gpa, size, section_type in sections:
        for address in range(gpa, gpa + size, PAGE):
            if section_type == 0x10 and boot:
                table, _ = image.numbers("7255371f-3a3b-4b04-927b-1da6efa8d454", 2)
                digest.add(NORMAL, address, hashes_page(table % PAGE, *boot))
            else:
                digest.add(types[section_type], address)
    reset, = image.numbers("00f771de-1a7e-4fcb-890e-68c77e2fb44e", 1)
    for i in range(vcpus):
        digest.add(VMSA, 0xFFFFFFFFF000,
                   vmsa(vmm, 0xFFFFFFF0 if i == 0 else reset, i == 0, signature, features))
    return digest.value.hex()


def check_vectors():
    here = Path(__file__).parent
    rows = (here / "vectors.tsv").read_text(encoding="ascii").splitlines()[1:]
    status = 0
    for row in rows:
        name, _, vmm, vcpus, _, signature, features, kernel, initrd, cmdline, expected = \
            row.split("\t")
        boot = None
        if kernel != "-":
            boot = ((here / kernel).read_bytes(),
                    (here / initrd).read_bytes() if initrd != "-" else b"",
                    cmdline.strip("'").encode() if cmdline != "-" else b"")
        found = measure(Image(here / name), vmm, int(vcpus), int(signature, 16),
                        int(features, 16), boot)
        if found != expected:
            print(f"{name} {vmm} {vcpus} {kernel}: {found}, not {expected}")
            status = 1
    return status or not rows


def main():
    if sys.argv[1:] == ["--vectors"]:
        return check_vectors()
    path, vmm, vcpus, signature, features = sys.argv[1:]
    image = Image(path)
    print(measure(image, vmm, int(vcpus), int(signature, 16), int(features, 16)),
          len(image.sections))
    return 0


sys.exit(main())
