/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * @file gmem.h
 * @brief libgmem: guest memory from KVM's guest_memfd, for any VMM.
 *
 * Read gmem/base.h first: it has the rules that hold everywhere, for errors, threads, callbacks
 * and ownership.
 */
#ifndef GMEM_H
#define GMEM_H

#include <gmem/version.h>

#include <gmem/base.h>
#include <gmem/convert.h>
#include <gmem/kernel.h>
#include <gmem/ctx.h>

#include <gmem/vm.h>
#include <gmem/region.h>
#include <gmem/report.h>
#include <gmem/layout.h>
#include <gmem/access.h>
#include <gmem/listener.h>
#include <gmem/exits.h>

#include <gmem/ovmf.h>
#include <gmem/measure.h>
#include <gmem/id.h>

#endif /* GMEM_H */
