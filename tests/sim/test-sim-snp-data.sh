#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the simulated SNP firmware is tested with is what its generator makes.
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

command -v python3 >/dev/null || skip_all "there is no python3"

if python3 "$top_srcdir/tests/data/snp/generate.py" --check >"$scratch/out" 2>&1; then
	pass "launches.tsv and id-blocks.tsv"
else
	sed 's/^/    /' "$scratch/out"
	fail "launches.tsv and id-blocks.tsv" "see above"
fi

# Signatures that are good by one more implementation.
if ! command -v openssl >/dev/null; then
	skip "id-blocks.tsv by openssl" "there is no openssl"
	finish
fi
python3 "$top_srcdir/tests/data/snp/generate.py" --signatures "$scratch" >"$scratch/list"
while read -r name expected; do
	if openssl dgst -sha384 -verify "$scratch/$name.pem" -signature "$scratch/$name.sig" \
		"$scratch/$name.data" >/dev/null 2>&1; then
		found=good
	else
		found=bad
	fi
	[ "$found" = "$expected" ] || echo "$name: openssl says $found, not $expected"
done <"$scratch/list" >"$scratch/out"
[ -s "$scratch/list" ] || echo "no signatures" >"$scratch/out"
judge "id-blocks.tsv by openssl" "$scratch/out"

finish
