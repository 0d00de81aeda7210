#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# gmem-measure id-block and verify, with keys and a second opinion by openssl.

. "$(dirname "$0")/measure-lib.sh"
need_python
command -v openssl >/dev/null || skip_all "there is no openssl, which makes the keys"

for key in id author; do
	openssl ecparam -name secp384r1 -genkey -noout -out "$scratch/$key.pem"
	openssl pkey -in "$scratch/$key.pem" -pubout -out "$scratch/$key.pub"
done
digest=$(digest_of "$image_a" -n 4 -c EPYC-Milan)

# made <arguments...>: an ID block and what signs it, in $scratch/block and $scratch/auth
made() {
	measure id-block --block "$scratch/block" --auth "$scratch/auth" --key "$scratch/id.pem" "$@"
}
# verify <arguments...>
verify() {
	measure verify --block "$scratch/block" --auth "$scratch/auth" "$@"
}

made "$image_a" -n 4 -c EPYC-Milan --author-key "$scratch/author.pem" --svn 7 --policy 0xb0000 \
	--family-id 000102030405060708090a0b0c0d0e0f --image-id 10111213-1415-1617-1819-1a1b1c1d1e1f
check_code "made: exit code" 0
check_says "made: digest" "$out" "launch digest $digest"
attempt "made: sizes" test "$(wc -c <"$scratch/block") $(wc -c <"$scratch/auth")" = "96 4096"

# What is in the files, and that openssl takes the signatures.
check_python "made: the ID block" '
import struct, sys
b = open(sys.argv[1], "rb").read()
assert b[:48].hex() == sys.argv[2]
assert b[48:80] == bytes(range(32))
assert struct.unpack("<IIQ", b[80:]) == (1, 7, 0xb0000)
' "$scratch/block" "$digest"
take_apart='
import sys
a = open(sys.argv[1], "rb").read()
def integer(b):
	b = b[::-1].lstrip(b"\0")
	b = (b"\0" if b[0] & 128 else b"") + b
	return b"\2" + bytes([len(b)]) + b
def signature(at, name):
	body = integer(a[at:at + 72]) + integer(a[at + 72:at + 144])
	open(name, "wb").write(b"\x30" + bytes([len(body)]) + body)
signature(0x40, sys.argv[2] + "/block.sig")
signature(0x680, sys.argv[2] + "/key.sig")
open(sys.argv[2] + "/key", "wb").write(a[0x240:0x644])
open(sys.argv[2] + "/author", "wb").write(a[0x880:0xc84])
'
check_python "made: the ID authentication" "$take_apart" "$scratch/auth" "$scratch"
attempt "openssl: the ID block's signature" openssl dgst -sha384 -verify "$scratch/id.pub" \
	-signature "$scratch/block.sig" "$scratch/block"
attempt "openssl: the ID key's signature" openssl dgst -sha384 -verify "$scratch/author.pub" \
	-signature "$scratch/key.sig" "$scratch/key"
for key in key author; do
	openssl dgst -sha384 -r "$scratch/$key" | cut -d ' ' -f 1
done >"$scratch/digests"
check_says "made: ID key digest" "$out" "ID key digest $(head -n 1 "$scratch/digests")"
check_says "made: author key digest" "$out" "author key digest $(tail -n 1 "$scratch/digests")"

# Verify.

verify
check_code "verify: exit code" 0
check_says "verify: it holds" "$out" "all signatures hold"
check_says "verify: digest" "$out" "launch digest $digest"
check_says "verify: policy" "$out" "policy 0xb0000"
check_says "verify: SVN" "$out" "guest SVN 7"
check_says "verify: image ID" "$out" "image ID 101112131415161718191a1b1c1d1e1f"
verify --digest "$digest" --policy 0xb0000 --quiet
check_code "verify: right digest and policy: exit code" 0
check_empty "verify: quiet" "$out"
verify "$image_a" -n 4 -c EPYC-Milan
check_code "verify: right launch: exit code" 0
verify "$image_a" -n 5 -c EPYC-Milan
check_code "verify: other launch: exit code" 1
check_says "verify: other launch" "$out" "does not hold: the signatures hold, but the ID block is \
for another launch digest"
verify --digest "$(digest_of "$image_a" -n 5 -c EPYC-Milan)"
check_code "verify: other digest: exit code" 1
verify --policy 0x30000
check_code "verify: other policy: exit code" 1
check_says "verify: other policy" "$out" "for another policy"
verify --json
check_python "verify: JSON" '
import json, sys
o = json.load(open(sys.argv[1]))
assert o["command"] == "verify" and o["valid"] is True and o["reason"] is None, o
assert o["digest"] == sys.argv[2] and o["svn"] == 7 and o["policy"] == 0xb0000, o
assert o["family_id"] == bytes(range(16)).hex(), o
assert [o["id_key_digest"], o["author_key_digest"]] == open(sys.argv[3]).read().split(), o
' "$out" "$digest" "$scratch/digests"

# change <file> <offset>: one bit
change() {
	python3 -c '
import sys
b = bytearray(open(sys.argv[1], "rb").read())
b[int(sys.argv[2], 0)] ^= 1
open(sys.argv[1], "wb").write(b)' "$scratch/$1" "$2"
}
for place in "block 0" "block 84" "block 95" "auth 0" "auth 0x40" "auth 0x244" "auth 0x680" \
	"auth 0x884" "auth 0xfff"; do
	# shellcheck disable=SC2086 # file and offset
	change $place
	verify --json
	check_code "verify: $place changed: exit code" 1
	check_says "verify: $place changed" "$out" '"valid": false'
	# shellcheck disable=SC2086
	change $place
done
change auth 0x41
verify
check_says "verify: says what" "$out" "does not hold: the ID block's signature does not hold; it \
must be by the ID key"
change auth 0x41

# Base64; without author key; a digest from elsewhere.

cp "$scratch/block" "$scratch/block.bin"
made "$image_a" -n 4 -c EPYC-Milan --author-key "$scratch/author.pem" --svn 7 --policy 0xb0000 \
	--family-id 000102030405060708090a0b0c0d0e0f --image-id 101112131415161718191a1b1c1d1e1f --base64
check_code "base64: exit code" 0
attempt "base64: one line" test "$(wc -l <"$scratch/block") $(wc -l <"$scratch/auth")" = "1 1"
base64 -d <"$scratch/block" >"$scratch/decoded"
attempt "base64: the same block" cmp "$scratch/block.bin" "$scratch/decoded"
attempt "base64: the whole authentication" test "$(base64 -d <"$scratch/auth" | wc -c)" -eq 4096
verify
check_code "base64: verify: exit code" 0
fold -w 64 "$scratch/auth" >"$scratch/folded"
measure verify --block "$scratch/block" --auth "$scratch/folded"
check_code "base64: in lines: exit code" 0
for damage in 's/^.//' 's/^./?/' 's/^./=/' 's/$/AAAA/'; do
	sed "$damage" "$scratch/block" >"$scratch/damaged"
	measure verify --block "$scratch/damaged" --auth "$scratch/auth"
	check_code "base64: damaged by $damage: exit code" 3
done

made --digest "$digest"
check_code "no author key: exit code" 0
check_says "no author key: said" "$out" "author key none"
verify --json
check_says "no author key: JSON" "$out" '"author_key_digest": null'
cp "$scratch/auth" "$scratch/auth.first"
made --digest "$digest" --json
attempt "the same again gives the same" cmp "$scratch/auth" "$scratch/auth.first"
check_python "id-block: JSON" '
import json, sys
o = json.load(open(sys.argv[1]))
assert o["command"] == "id-block" and o["block"] == sys.argv[2] + "/block", o
assert o["digest"] == sys.argv[3] and o["policy"] == 0x30000 and o["svn"] == 0, o
' "$out" "$scratch" "$digest"

# What is refused: no file is touched.

rm -f "$scratch/block" "$scratch/auth"
refused() {
	refused_code=$1
	refused_text=$2
	shift 2
	measure id-block --block "$scratch/block" --auth "$scratch/auth" --digest "$digest" "$@"
	check_code "refused: $refused_text: exit code" "$refused_code"
	check_empty "refused: $refused_text: no output" "$out"
	check_says "refused: $refused_text: reason" "$err" "$refused_text"
	attempt "refused: $refused_text: no file" test ! -e "$scratch/block" -a ! -e "$scratch/auth"
}
openssl ecparam -name prime256v1 -genkey -noout -out "$scratch/p256.pem"
openssl pkcs8 -topk8 -in "$scratch/id.pem" -passout pass:x -out "$scratch/secret.pem"
refused 3 "p256.pem: the key is on the curve P-256; it must be" --key "$scratch/p256.pem"
refused 3 "secret.pem: the key is encrypted; decrypt it first" --key "$scratch/secret.pem"
refused 3 "id.pub: the key is a public key" --key "$scratch/id.pem" --author-key "$scratch/id.pub"
refused 2 "policy 0x10000; its bit 17 must be 1" --key "$scratch/id.pem" --policy 0x10000
measure id-block --block "$scratch/none/block" --auth "$scratch/auth" --digest "$digest" \
	--key "$scratch/id.pem"
check_code "a file that cannot be written: exit code" 4
check_says "a file that cannot be written: reason" "$err" "none/block: cannot be written"

finish
