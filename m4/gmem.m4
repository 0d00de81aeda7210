# SPDX-License-Identifier: LGPL-2.1-or-later
# Checks that libgmem's configure.ac makes of its host and its compiler.

# GMEM_REQUIRE_LP64
# Stops where a pointer or a long has not 64 bits: guest addresses, sizes and
# mappings are carried in them. Needs no header and runs nothing.
AC_DEFUN([GMEM_REQUIRE_LP64], [
AC_CACHE_CHECK([whether the host has 64-bit pointers and long], [gmem_cv_lp64], [
	AC_COMPILE_IFELSE([AC_LANG_SOURCE([[
char pointer_has_64_bits[sizeof(void *) == 8 ? 1 : -1];
char long_has_64_bits[sizeof(long) == 8 ? 1 : -1];
]])], [gmem_cv_lp64=yes], [gmem_cv_lp64=no])
])
AS_IF([test "x$gmem_cv_lp64" != xyes],
	[AC_MSG_ERROR([libgmem needs a 64-bit host: guest memory does not fit into the address space of $host with $CC])])
])

# GMEM_TRY_CFLAG(flags, if-accepted, if-refused)
# clang takes an unknown warning for a warning only, so -Werror goes along.
AC_DEFUN([GMEM_TRY_CFLAG], [
AS_VAR_PUSHDEF([gmem_cache], [gmem_cv_cflag_$1])
AC_CACHE_CHECK([whether $CC takes $1], [gmem_cache], [
	gmem_saved_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS -Werror $1"
	AC_LINK_IFELSE([AC_LANG_PROGRAM], [AS_VAR_SET([gmem_cache], [yes])],
		[AS_VAR_SET([gmem_cache], [no])])
	CFLAGS=$gmem_saved_CFLAGS
])
AS_VAR_IF([gmem_cache], [yes], [$2], [$3])
AS_VAR_POPDEF([gmem_cache])
])

# GMEM_ADD_CFLAGS(variable, flags)
# Adds each of the flags that the compiler takes.
AC_DEFUN([GMEM_ADD_CFLAGS], [
for gmem_flag in m4_normalize([$2]); do
	GMEM_TRY_CFLAG([$gmem_flag], [AS_VAR_APPEND([$1], [" $gmem_flag"])])
done
])

# GMEM_NEED_CFLAGS(variable, flags)
# Adds the flags as a whole, and stops where the compiler refuses them.
AC_DEFUN([GMEM_NEED_CFLAGS], [
gmem_flag="m4_normalize([$2])"
GMEM_TRY_CFLAG([$gmem_flag], [AS_VAR_APPEND([$1], [" $gmem_flag"])],
	[AC_MSG_ERROR([$CC does not take $gmem_flag])])
])
