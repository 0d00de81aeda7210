#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The conformance suite on the kernel that this script is named after.
exec "${top_builddir:-.}/tests/conformance/conformance" "$(basename "$0" .sh)"
