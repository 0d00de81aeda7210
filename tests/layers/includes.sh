#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A file of the library includes only from its own layer and from those below it.
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

table=$top_srcdir/tests/layers/layers
grep -v '^#' "$table" | grep . >"$scratch/table"

# files <directory>: C files of it
files() {
	(cd "$1" && find libgmem include -name '*.[ch]' -o -name '*.h.in') | sed 's/\.in$//' |
		LC_ALL=C sort
}

# findings <directory> <table>: what stands against the table in libgmem/ and include/
findings() {
	files "$1" >"$scratch/files"
	while read -r file; do
		from=$1/$file
		[ -f "$from" ] || from=$from.in
		# Each include, with the quote or bracket that opens it.
		sed -n 's/^[[:blank:]]*#[[:blank:]]*include[[:blank:]]*\([<"]\)\([^>"]*\)[>"].*/\1\2/p' "$from" |
			sed "s|^|$file |"
	done <"$scratch/files" >"$scratch/includes"

	awk -v table="$2" -v files="$scratch/files" '
	function layer_of(file) { return (file in layer) ? layer[file] : "" }
	BEGIN {
		while ((getline line < table) > 0) {
			if (split(line, word, "\t") != 2) {
				print "the table: not \"layer, tab, file\": " line
				continue
			}
			if (!(word[1] in height))
				height[word[1]] = ++top
			else if (word[1] != previous)
				print "the table: layer " word[1] " is in two places"
			previous = word[1]
			if (word[2] in layer)
				print word[2] ": twice in the table"
			layer[word[2]] = word[1]
		}
		while ((getline line < files) > 0) {
			exists[line] = 1
			if (layer_of(line) == "")
				print line ": not in the table"
		}
		for (file in layer)
			if (!(file in exists))
				print file ": in the table, but there is no such file"
	}
	{
		file = $1
		quoted = substr($2, 1, 1) == "\""
		name = substr($2, 2)
		directory = file
		sub(/[^\/]*$/, "", directory)
		target = ""
		if (quoted) {
			if ((directory name) in exists)
				target = directory name
			else if (("libgmem/" name) in exists)
				target = "libgmem/" name
			else if (name in exists)
				target = name
		}
		if (target == "" && ("include/" name) in exists)
			target = "include/" name

		if (file ~ /^include\// && target !~ /^include\// &&
		    name != "stdint.h" && name != "stddef.h")
			print file ": a public header includes " name
		else if (name == "linux/kvm.h" || name == "linux/psp-sev.h")
			print file ": " name " of this host is too old; libgmem/uapi/ has what is needed"
		else if (target == "" && quoted)
			print file ": \"" name "\" is no file of the library"
		else if (target != "" && layer_of(file) != "" && layer_of(target) != "" &&
			 height[layer_of(target)] > height[layer_of(file)])
			print file " (" layer_of(file) ") includes " target " (" layer_of(target) ")"
	}' "$scratch/includes" | LC_ALL=C sort
}

findings "$top_srcdir" "$scratch/table" >"$scratch/out"
judge "$(wc -l <"$scratch/files") files include only from their layer and below" "$scratch/out"

# What comes with libgmem does what any program could do with it; gmem-probe alone
# also asks the kernel itself, with our definitions of its interface.
grep -rnE '^[[:blank:]]*#[[:blank:]]*include[[:blank:]]*"' "$top_srcdir/examples" \
	"$top_srcdir/tools" --include='*.[chS]' |
	sed 's/^\([^:]*\):[0-9]*:.*"\(.*\)".*/\1 \2/' |
	while read -r file name; do
		case $name,$file in
		libgmem/uapi/*,"$top_srcdir"/tools/*) continue ;;
		esac
		[ -f "$(dirname "$file")/$name" ] || echo "$file: $name"
	done >"$scratch/out"
judge "examples and tools include no private header" "$scratch/out"

# The check itself finds what it is there to find.
mkdir -p "$scratch/tree/libgmem" "$scratch/tree/include/gmem"
cat >"$scratch/bad" <<-'EOF'
	interface	include/gmem/low.h
	low	libgmem/low.h
	high	libgmem/high.h
	high	libgmem/gone.h
EOF
echo '#include <stdio.h>' >"$scratch/tree/include/gmem/low.h"
printf '#include "high.h"\n#include <linux/kvm.h>\n' >"$scratch/tree/libgmem/low.h"
printf '#include "low.h"\n#include "other.h"\n#include <gmem/low.h>\n' \
	>"$scratch/tree/libgmem/high.h"
: >"$scratch/tree/libgmem/new.c"
findings "$scratch/tree" "$scratch/bad" >"$scratch/out"
cat >"$scratch/want" <<-'EOF'
	include/gmem/low.h: a public header includes stdio.h
	libgmem/gone.h: in the table, but there is no such file
	libgmem/high.h: "other.h" is no file of the library
	libgmem/low.h (low) includes libgmem/high.h (high)
	libgmem/low.h: linux/kvm.h of this host is too old; libgmem/uapi/ has what is needed
	libgmem/new.c: not in the table
EOF
attempt "what stands against the table is found" diff "$scratch/want" "$scratch/out"

finish
