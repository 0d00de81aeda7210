/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the guest of 04-mini-vmm and its host have agreed on: guest-physical addresses. For C and
 * for assembler.
 */
#ifndef MINI_H
#define MINI_H

/* RAM: two windows of one region, with a hole between them. */
#define MINI_LOW_GPA 0x00000000
#define MINI_LOW_SIZE 0x00200000
#define MINI_HIGH_GPA 0x01000000
#define MINI_HIGH_SIZE 0x00200000

/* The host puts them in place. */
#define MINI_CODE_GPA 0x00008000    /* the guest's code and its stack below it */
#define MINI_MESSAGE_GPA 0x00010000 /* a text, ended by NUL */

/* The guest writes them. */
#define MINI_NUMBER_GPA 0x00180000 /* low RAM, above 1 MiB */
#define MINI_NUMBER 0x600df00d
#define MINI_PROBE_GPA 0x00180004 /* what it read from the hole */
#define MINI_HOLE_GPA 0x00800000
#define MINI_ANSWER_GPA 0x01000000 /* the message in capitals, at the start of high RAM */
#define MINI_LAST_GPA 0x011ffff0   /* the last bytes of high RAM */
#define MINI_LAST "the end of RAM."

#define MINI_SERIAL_PORT 0x3f8

#endif /* MINI_H */
