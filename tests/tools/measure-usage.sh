#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The command line of gmem-measure, and that usage text, manual page and completion agree on it.

. "$(dirname "$0")/measure-lib.sh"

manual=$top_srcdir/doc/man/gmem-measure.1.scd
completion=$top_srcdir/tools/gmem-measure.bash-completion

# Help and version.

measure --help
check_code "--help: exit code" 0
check_empty "--help: nothing on stderr" "$err"
cp "$out" "$scratch/help"
for words in "-h" "digest --help" "compare -h" "verify --json -h"; do
	# shellcheck disable=SC2086 # several words
	measure $words
	attempt "$words is --help" cmp "$scratch/help" "$out"
done
measure --version
check_code "--version: exit code" 0
check_says "--version: both versions" "$out" "gmem-measure 0."
check_says "--version: the library's" "$out" "(libgmem 0."
cp "$out" "$scratch/version"
measure explain --version
attempt "a command takes --version too" cmp "$scratch/version" "$out"

# Wrong usage: 2, a reason on stderr, nothing on stdout.

wrong() {
	wrong_text=$1
	shift
	measure "$@"
	check_code "wrong usage: $*: exit code" 2
	check_empty "wrong usage: $*: no output" "$out"
	check_says "wrong usage: $*: reason" "$err" "gmem-measure: $wrong_text"
}
zeros=$(printf '%096d' 0)
wrong "a command is missing"
wrong "no command \"dig\"; there are: digest explain id-block verify compare" dig
wrong "no command \"--json\"" --json
wrong "unrecognized option '--unknown'" digest --unknown
wrong "option '--vcpus' requires an argument" digest x --vcpus
wrong "IMAGE is missing" digest -n 1 -c EPYC
wrong "\"y\" is one image too many" digest x y -n 1 -c EPYC
wrong "--vcpus is missing" digest x -c EPYC
wrong "--cpu or --signature is missing" digest x -n 1
wrong "--cpu or --signature is missing" explain x -n 1 --vmm qemu
for count in '' 0 4097 1- 1-0 -1 2-1 1,,2 '1,' x 1x 0x2 99999999999999999999; do
	wrong "--vcpus takes counts from 1 to 4096, such as 4 or 1,2,8-16, not \"$count\"" \
		digest x -c EPYC --vcpus "$count"
done
wrong "--vcpus takes one count for explain" explain x -c EPYC -n 1,2
wrong "--vcpus takes one count for compare" compare x -c EPYC -n 1-3 --digest "$zeros"
for cpu in '' EPYC- EPYC-v EPYC-vx EPYC-Rom EPYC-Romeo EPYC-Rome-v1x Opteron; do
	wrong "no processor \"$cpu\"" digest x -n 1 --cpu "$cpu"
done
wrong "--vmm takes qemu, ec2, gce or kvm, not \"xen\"" digest x -n 1 --vmm xen
for number in '' -1 +1 ' 1' 1x 0x 0x100000000; do
	wrong "--signature takes a number from 0 to 0xffffffff, not \"$number\"" \
		digest x -n 1 --signature "$number"
done
wrong "--features takes a number" digest x -n 1 --vmm gce --features 0x10000000000000000
wrong "--kernel takes a path" digest x -n 1 --vmm gce --kernel ''
wrong "--initrd is measured with a kernel only" digest x -n 1 --vmm gce --initrd i
wrong "--append is measured with a kernel only" digest x -n 1 --vmm gce --append ''
wrong "--key is not for digest" digest x --key k
wrong "--full is not for compare" compare x --full
wrong "--report is not for verify" verify --report r
wrong "--base64 is not for verify" verify --base64
wrong "--max-vcpus is not for explain" explain x --max-vcpus 1
wrong "--key is missing" id-block --block b --auth a --digest "$zeros"
wrong "--block is missing" id-block --key k --auth a --digest "$zeros"
wrong "--auth is missing" verify --block b
wrong "--digest or IMAGE is missing" id-block --key k --block b --auth a
wrong "--digest and IMAGE exclude each other" verify x -n 1 -c EPYC --block b --auth a --digest "$zeros"
wrong "--vcpus is missing" verify x --block b --auth a
wrong "IMAGE is missing: there are options of a launch" verify -n 1 --block b --auth a
wrong "--digest takes 96 hexadecimal digits" verify --block b --auth a --digest "${zeros}0"
wrong "--digest takes 96 hexadecimal digits" verify --block b --auth a --digest "${zeros#0}"
wrong "--digest takes 96 hexadecimal digits" verify --block b --auth a --digest "${zeros#0}g"
wrong "--family-id takes 32 hexadecimal digits" id-block --family-id 1
wrong "--image-id takes 32 hexadecimal digits" id-block --image-id ''
wrong "--svn takes a number" id-block --svn 0x100000000
wrong "--policy takes a number" verify --policy x
wrong "compare takes either --digest or --report" compare x
wrong "compare takes either --digest or --report" compare x --digest "$zeros" --report r
wrong "--max-vcpus takes a count from 1 to 4096" compare x --digest "$zeros" --max-vcpus 0
wrong "--max-vcpus takes a count from 1 to 4096" compare x --digest "$zeros" --max-vcpus 1-2
wrong "IMAGE is missing" compare --digest "$zeros"

# Files that are not there, or not what they should be: 3.

bad() {
	bad_text=$1
	shift
	measure "$@"
	check_code "bad file: $bad_text: exit code" 3
	check_empty "bad file: $bad_text: no output" "$out"
	check_says "bad file: $bad_text: reason" "$err" "gmem-measure: $bad_text"
}
gce="-n 1 --vmm gce"
printf x >"$scratch/x"
: >"$scratch/empty"
head -c 5000 "$image_a" >"$scratch/cut"
# shellcheck disable=SC2086 # several words
{
	bad "$scratch/none: No such file" digest "$scratch/none" $gce
	bad "$scratch: Is a directory" digest "$scratch" $gce
	bad "$scratch/x: " digest "$scratch/x" $gce
	bad "$scratch/cut: " digest "$scratch/cut" $gce
	bad "$scratch/none: No such file" explain "$image_a" $gce --kernel "$scratch/none"
	bad "$scratch/empty is empty" explain "$image_a" $gce --kernel "$scratch/empty"
	bad "$scratch/x has 1 bytes; VMSAs are pages of 4096" digest "$image_a" $gce --vmsa "$scratch/x"
	bad "$scratch/empty has 0 bytes; VMSAs are pages of 4096" digest "$image_a" $gce \
		--vmsa "$scratch/empty"
	bad "$scratch/none: No such file" compare "$image_a" --report "$scratch/none"
	bad "$scratch/x is no attestation report" compare "$image_a" --report "$scratch/x"
	bad "$image_b has more than 4096 bytes" compare "$image_a" --report "$image_b"
	bad "$scratch/none: No such file" verify --block "$scratch/none" --auth "$scratch/x"
	bad "$scratch/x: not an ID block: it has 1 bytes; it must have 96" verify \
		--block "$scratch/x" --auth "$scratch/x"
	bad "$scratch/none: No such file" id-block --key "$scratch/none" --block "$scratch/b" \
		--auth "$scratch/a" --digest "$zeros"
	bad "$scratch/empty is empty" id-block --key "$scratch/empty" --block "$scratch/b" \
		--auth "$scratch/a" --digest "$zeros"
}
head -c 96 /dev/zero >"$scratch/block"
bad "$scratch/x: not an ID authentication: it has 1 bytes; it must have 4096" verify \
	--block "$scratch/block" --auth "$scratch/x"

# What cannot be written.

if [ -c /dev/full ]; then
	for option in --help --version; do
		code=0
		"$GMEM_MEASURE" "$option" >/dev/full 2>"$err" || code=$?
		: >"$out"
		check_code "full disk: $option: exit code" 4
		check_says "full disk: $option: reason" "$err" "cannot write the output: No space left"
	done
else
	skip "full disk" "there is no /dev/full"
fi

# Usage text, manual page and completion.

sed -n '/^The launch:/,/^Models:/p' "$scratch/help" |
	grep -oE -e '^ +(-[a-z], )?--[a-z0-9-]+( HEX, --[a-z-]+)?' |
	grep -oE -e '(^| )--?[a-z][a-z0-9-]*' | tr -d ' ' | sort -u >"$scratch/options"
grep -E '^\*-' "$manual" | grep -oE -e '\*--?[a-z][a-z0-9-]*\*' | tr -d '*' | sort -u \
	>"$scratch/manual-options"
attempt "manual page: the same options as --help" \
	diff "$scratch/options" "$scratch/manual-options"
attempt "--help: its options were found" test "$(wc -l <"$scratch/options")" -ge 32
awk 'length($0) > 80 && !/^Models/' "$scratch/help" >"$scratch/too-long"
attempt "--help: no line is longer than 80" diff /dev/null "$scratch/too-long"
sed -n 's/^Models: //p' "$scratch/help" | sed 's/ ([^)]*)//g; s/, /\n/g' | sort >"$scratch/models"
sed -n '/^\*-c\*/,/^$/p' "$manual" | grep -oE '\*EPYC(-[A-Z][A-Za-z]+)?\*' | tr -d '*' | sort -u \
	>"$scratch/manual-models"
attempt "manual page: the same models as --help" diff "$scratch/models" "$scratch/manual-models"
for exit_code in 0 1 2 3 4; do
	attempt "manual page: exit code $exit_code" grep -qx "\*$exit_code\*" "$manual"
done

# complete_words <word...>: what bash would offer for the last of them
complete_words() {
	bash -c '
		compopt() { :; }
		. "$1"
		shift
		COMP_WORDS=("$@")
		COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
		COMPREPLY=()
		_gmem_measure
		printf "%s\n" "${COMPREPLY[@]}"' complete "$completion" gmem-measure "$@" | sort
}

if command -v bash >/dev/null; then
	for command in digest explain id-block verify compare; do
		complete_words "$command" -
	done | sort -u >"$scratch/offered"
	attempt "completion: the same options as --help" diff "$scratch/options" "$scratch/offered"
	complete_words '' | grep -v '^-' >"$scratch/offered"
	sed -n 's/^\(Usage:\)\{0,1\} *gmem-measure \([a-z-]*\) .*/\2/p' "$scratch/help" | sort \
		>"$scratch/commands"
	attempt "completion: the same commands as --help" diff "$scratch/commands" "$scratch/offered"
	complete_words digest -c '' >"$scratch/offered"
	attempt "completion: the same models as --help" diff "$scratch/models" "$scratch/offered"
	# What is offered for a command is for it.
	for command in digest explain id-block verify compare; do
		complete_words "$command" -- | grep -vx -e --help -e --version | while read -r option; do
			run "$GMEM_MEASURE" "$command" "$option" x
			! grep "is not for $command" "$err" || echo "$command $option"
		done
	done >"$scratch/foreign"
	attempt "completion: options of the command alone" diff /dev/null "$scratch/foreign"
	attempt "completion: after an equals sign" test "$(complete_words digest --vmm = e)" = ec2
else
	skip "completion" "there is no bash"
fi

finish
