#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Launch digests of whole images, Debian's too, against tests/data/snp/measure.py, which is held to
# those of measuring tools.
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

command -v python3 >/dev/null || skip_all "there is no python3"
program=$top_builddir/tests/unit/measure-image
[ -x "$program" ] || skip_all "a build without libgcrypt makes no digests"
model=$top_srcdir/tests/data/snp/measure.py
GMEM_LOG=error
export GMEM_LOG

attempt "vectors.tsv, by a second implementation" python3 "$model" --vectors

# compare <image>: in some ways of launching it
compare() {
	for way in "QEMU 1 800f12 1" "QEMU 17 a00f11 21" "ec2 3 0 1" "gce 2 0 1"; do
		# shellcheck disable=SC2086 # a list of words
		python3 "$model" "$1" $way >"$scratch/want" 2>&1 || echo "measure.py failed: $way"
		# shellcheck disable=SC2086
		"$program" "$1" $way >"$scratch/found" 2>&1 || true
		diff "$scratch/want" "$scratch/found" || echo "above: $way"
	done
}

for image in "$top_srcdir"/tests/data/snp/*.fd; do
	compare "$image" >"$scratch/out"
	judge "$(basename "$image")" "$scratch/out"
done

find /usr/share/OVMF /usr/share/ovmf /usr/share/ovmf-amdsev -type f -name '*.fd' 2>/dev/null |
	LC_ALL=C sort >"$scratch/debian"
if [ ! -s "$scratch/debian" ]; then
	skip "Debian's images" "there are none (package ovmf)"
	finish
fi
while read -r image; do
	compare "$image" >"$scratch/out"
	judge "$image ($(cut -d ' ' -f 2 "$scratch/found") sections)" "$scratch/out"
done <"$scratch/debian"

# sections <image> <number>: what is known of Debian 12's
sections() {
	found=$("$program" "$1" QEMU 1 800f12 1 | cut -d ' ' -f 2)
	if [ "$found" = "$2" ]; then
		pass "$1 has $2 sections"
	else
		fail "$1 has $2 sections" "it has $found"
	fi
}

case $(dpkg-query -W -f '${Version}' ovmf 2>/dev/null || true) in
2022.11-*)
	sections /usr/share/ovmf/OVMF.fd 5
	sections /usr/share/OVMF/OVMF_CODE.fd 5
	sections /usr/share/OVMF/OVMF_CODE_4M.fd 0
	;;
*) skip "what is known of ovmf 2022.11" "that version is not installed" ;;
esac

finish
