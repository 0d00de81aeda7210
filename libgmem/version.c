// SPDX-License-Identifier: LGPL-2.1-or-later
/* Which version is loaded. */
#include <gmem/version.h>

uint32_t gmem_version(void)
{
	return GMEM_VERSION;
}
