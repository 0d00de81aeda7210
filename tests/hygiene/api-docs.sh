#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every function of a public header has a doc comment right before it that says
# from which threads it may be called and since when it is there; one that
# returns a value also says which.
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

# findings <file>: "name: what is missing", and a line "seen name" for each function
findings() {
	awk '
	/^\/\*\*/ { comment = ""; inside = 1 }
	inside { comment = comment "\n" $0 }
	inside && /\*\// { inside = 0; fresh = 1; next }
	inside { next }
	/^[ \t]*GMEM_API / {
		text = $0
		while (text !~ /\(/ && (getline line) > 0)
			text = text " " line
		type = text
		sub(/\(.*/, "", text)
		sub(/.*[ \t*]/, "", text)
		print "seen " text
		if (!fresh)
			print text ": no doc comment"
		else {
			if (comment !~ /Threads: (any|one|last)/)
				print text ": no \"Threads: any, one or last\""
			if (comment !~ /Since: [0-9]+\.[0-9]+/)
				print text ": no \"Since: x.y\""
			if (type !~ /^[ \t]*GMEM_API void [a-z_]+\(/ && comment !~ /@return/)
				print text ": no \"@return\""
		}
	}
	NF { fresh = 0 }
	' "$1"
}

for header in $(public_headers); do
	findings "$header" >"$scratch/all"
	grep '^seen ' "$scratch/all" >>"$scratch/seen" || true
	grep -v '^seen ' "$scratch/all" >"$scratch/out" || true
	judge "${header#"$top_srcdir"/}" "$scratch/out"
done

if [ "$(wc -l <"$scratch/seen")" -eq "$(header_functions | wc -l)" ]; then
	pass "no function was passed over"
else
	fail "no function was passed over" "$(wc -l <"$scratch/seen") of $(header_functions | wc -l) seen"
fi

# The check itself finds what it is there to find.
cat >"$scratch/bad.h" <<-'EOF'
	/** @brief Has it all. @return 0. Threads: any. Since: 0.1 */
	GMEM_API int gmem_good(void);
	GMEM_API int gmem_bare(void);
	/** @brief Nothing more. */
	GMEM_API uint32_t
	gmem_empty(void);
EOF
findings "$scratch/bad.h" | grep -v '^seen ' | cut -d: -f1 | uniq -c | tr -s ' ' |
	tr '\n' ';' >"$scratch/out"
if [ "$(cat "$scratch/out")" = " 1 gmem_bare; 3 gmem_empty;" ]; then
	pass "a function without documentation is found"
else
	fail "a function without documentation is found" "$(cat "$scratch/out")"
fi

finish
