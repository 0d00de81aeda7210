/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Static probes (USDT) at the places that matter to whoever watches a VM: doc/tracing.md lists
 * them, tests/abi/probes.sh holds the two to each other. Without --enable-usdt they are nothing.
 */
#ifndef GMEM_PROBES_H
#define GMEM_PROBES_H

#ifdef GMEM_WITH_USDT
#include <sys/sdt.h>
#define PROBE4(name, a, b, c, d) DTRACE_PROBE4(libgmem, name, a, b, c, d)
#define PROBE5(name, a, b, c, d, e) DTRACE_PROBE5(libgmem, name, a, b, c, d, e)
#else
#define PROBE4(name, a, b, c, d) ((void)0)
#define PROBE5(name, a, b, c, d, e) ((void)0)
#endif

#endif /* GMEM_PROBES_H */
