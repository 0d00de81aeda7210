#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# gmem-measure with a libgmem that was built without libgcrypt: it says so, and writes nothing.

. "$(dirname "$0")/measure-lib.sh"

head -c 96 /dev/zero >"$scratch/block"
head -c 4096 /dev/zero >"$scratch/auth"
echo x >"$scratch/key"

# none <arguments...>
none() {
	measure "$@"
	check_code "$1: exit code" 4
	check_empty "$1: no output" "$out"
	check_says "$1: reason" "$err" "this libgmem was built without libgcrypt"
}
zeros=$(printf '%096d' 0)
none digest "$image_a" -n 1 -c EPYC
none digest "$image_a" -n 1 -c EPYC --json
none explain "$image_a" -n 1 -c EPYC --json
none explain "$image_a" -n 1 -c EPYC -k "$data/kernel-1"
none compare "$image_a" --digest "$zeros"
none compare "$image_a" --digest "$zeros" -n 1 -c EPYC
none verify --block "$scratch/block" --auth "$scratch/auth"
none id-block --key "$scratch/key" --digest "$zeros" --block "$scratch/b" --auth "$scratch/a"
attempt "id-block: no file" test ! -e "$scratch/b" -a ! -e "$scratch/a"

finish
