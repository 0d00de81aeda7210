#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The command line of gmem-probe, and that usage text, manual page and completion agree on it.

. "$(dirname "$0")/probe-lib.sh"

manual=$top_srcdir/doc/man/gmem-probe.1.scd
completion=$top_srcdir/tools/gmem-probe.bash-completion

# Help and version.

probe --help
check_code "--help: exit code" 0
check_empty "--help: nothing on stderr" "$err"
cp "$out" "$scratch/help"
probe -h
attempt "-h is --help" cmp "$scratch/help" "$out"
probe --version
check_code "--version: exit code" 0
check_says "--version: both versions" "$out" "gmem-probe 0."
check_says "--version: the library's" "$out" "(libgmem 0."

# Wrong usage: 2, a reason on stderr, nothing on stdout.

wrong() {
	wrong_text=$1
	shift
	probe "$@"
	check_code "wrong usage: $*: exit code" 2
	check_empty "wrong usage: $*: no output" "$out"
	check_says "wrong usage: $*: reason" "$err" "$wrong_text"
}
wrong "gmem-probe: unrecognized option" --unknown
attempt "wrong usage: the name without its path" test "$(head -c 11 "$err")" = "gmem-probe:"
wrong "invalid option" -x
wrong "\"extra\" is not an option" extra
wrong "no VM type \"none\"; there are: default sw_protected sev sev_es snp tdx" --type none
wrong "no VM type \"\"" --type ''
wrong "requires an argument" --type
wrong "no feature \"nonsense\"" --require nonsense
wrong "--require takes FEATURE[,FEATURE]..., and one is empty" --require ''
wrong "--require takes FEATURE[,FEATURE]..., and one is empty" --require mmap,
wrong "--require takes FEATURE[,FEATURE]..., and one is empty" --require ,mmap
wrong "no feature \"mma\"" --require vm,mma
wrong "no feature \"tracking\"" --require tracking
wrong "not \"sometimes\"" --color sometimes
wrong "--device takes a path" --device ''
wrong "--root takes a path" --root ''
wrong "--root takes a path" --root "$(printf '%5000s' '' | tr ' ' x)"
wrong "doesn't allow an argument" --json=yes

# What cannot be written.

if [ -c /dev/full ]; then
	full() {
		full_code=0
		"$GMEM_PROBE" "$@" >/dev/full 2>"$err" || full_code=$?
		: >"$out"
		code=$full_code
		check_code "full disk: $*: exit code" 4
		check_says "full disk: $*: reason" "$err" "cannot write the output: No space left"
	}
	full --help
	full --version
	full --root "$scratch"
	full --root "$scratch" --json
else
	skip "full disk" "there is no /dev/full"
fi

# closed <code> <options...>: with standard output closed
closed() {
	closed_code=$1
	shift
	code=0
	"$GMEM_PROBE" --root "$scratch" "$@" >&- 2>"$err" || code=$?
	: >"$out"
	check_code "closed output: $*: exit code" "$closed_code"
}
closed 4 --json
closed 3 --quiet

# Usage text, manual page and completion.

# The options of the usage text, one in a line.
grep -oE -e '^ +(-[a-z], )?--[a-z]+' "$scratch/help" | grep -oE -e '--?[a-z]+' | sort -u \
	>"$scratch/options"
# In the manual page each has its own entry, in bold at the start of a line.
grep -E '^\*-' "$manual" | grep -oE -e '\*--?[a-z]+\*' | tr -d '*' | sort -u \
	>"$scratch/manual-options"
attempt "manual page: the same options as --help" \
	diff "$scratch/options" "$scratch/manual-options"
attempt "--help: its options were found" test "$(wc -l <"$scratch/options")" -ge 14

sed -n 's/^Types: //p' "$scratch/help" | tr ' ' '\n' | sort >"$scratch/types"
sed -n '/^Features:/,/^$/p' "$scratch/help" | awk '/^  / { print $1 }' | sort >"$scratch/features"
sed -n '/^# FEATURES/,/^# EXIT/p' "$manual" | sed -n 's/^\*\([a-z0-9_]*\)\*$/\1/p' | sort \
	>"$scratch/manual-features"
# Each has words of its own beside its name, and all of it fits a terminal.
sed -n '/^Features:/,/^$/p' "$scratch/help" | awk '/^  / && (NF < 2 || $1 == $2)' \
	>"$scratch/unexplained"
attempt "--help: each feature is explained" diff /dev/null "$scratch/unexplained"
awk 'length($0) > 80' "$scratch/help" >"$scratch/too-long"
attempt "--help: no line is longer than 80" diff /dev/null "$scratch/too-long"
attempt "manual page: the same features as --help" \
	diff "$scratch/features" "$scratch/manual-features"
sed -n '/^\*-t\*/,/^$/p' "$manual" | grep -oE '\*[a-z_]+\*' | tr -d '*' | sort -u |
	grep -vx vm >"$scratch/manual-types"
attempt "manual page: the same types as --help" diff "$scratch/types" "$scratch/manual-types"

for exit_code in 0 1 2 3 4; do
	attempt "manual page: exit code $exit_code" grep -qx "\*$exit_code\*" "$manual"
done

# complete <word...>: what bash would offer for the last of them
complete_words() {
	bash -c '
		compopt() { :; }
		. "$1"
		shift
		COMP_WORDS=("$@")
		COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
		COMPREPLY=()
		_gmem_probe
		printf "%s\n" "${COMPREPLY[@]}"' complete "$completion" gmem-probe "$@" | sort
}

if command -v bash >/dev/null; then
	complete_words '' >"$scratch/offered"
	attempt "completion: the same options as --help" diff "$scratch/options" "$scratch/offered"
	complete_words --type '' >"$scratch/offered"
	attempt "completion: the same types as --help" diff "$scratch/types" "$scratch/offered"
	complete_words -r '' >"$scratch/offered"
	attempt "completion: the same features as --help" diff "$scratch/features" \
		"$scratch/offered"
	attempt "completion: after a comma" test "$(complete_words --require mmap,in | tr '\n' ' ')" \
		= "mmap,in_place mmap,init_shared "
	attempt "completion: not what is there" test \
		"$(complete_words --require mmap,in_place,in | tr '\n' ' ')" \
		= "mmap,in_place,init_shared "
	attempt "completion: after an equals sign" test "$(complete_words --color = al)" = always
	attempt "completion: right at it" test "$(complete_words --color = | tr '\n' ' ')" \
		= "always auto never "
else
	skip "completion" "there is no bash"
fi

finish
