/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SCTP's checksum, CRC32c, is linear: what a change of the ports does to it depends on the change
 * and on how many bytes follow, not on the bytes. So the packet need not be read again.
 */
#ifndef BPF_LB_SCTP_H
#define BPF_LB_SCTP_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

/* The polynomial of CRC32c, bits reflected. */
#define LB_CRC32C 0x82f63b78
#define LB_LENGTH_BITS 16

/* x to the power of 8 * 2^k, modulo the polynomial: what 2^k bytes of zeros multiply a rest by. */
static const __u32 lb_crc32c_zeros[LB_LENGTH_BITS] = {
    0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18, 0x510ac59a, 0xb82be955, 0xb8fdb1e7,
    0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62, 0x28461564, 0xbf455269, 0xe2ea32dc,
};

static __always_inline __u32 lb_crc32c_multiply(__u32 a, __u32 b)
{
  __u32 product = 0;

  for (int i = 0; i < 32; i++) {
    product ^= b & -(a >> 31);
    a <<= 1;
    b = (b >> 1) ^ (LB_CRC32C & -(b & 1));
  }
  return product;
}

struct lb_crc32c {
  __u32 delta;
  __u32 length;
};

static long lb_crc32c_advance(__u32 bit, void *context)
{
  struct lb_crc32c *crc = context;

  if (crc->length >> bit & 1)
    crc->delta = lb_crc32c_multiply(lb_crc32c_zeros[bit & (LB_LENGTH_BITS - 1)], crc->delta);
  return 0;
}

/*
 * What is to be added (exclusive or) to the checksum, in host order, of a packet of `length` bytes
 * when `ports` is added to its first four bytes.
 */
__weak __noinline __u32 lb_crc32c_delta(__u32 ports, __u32 length)
{
  struct lb_crc32c crc = {.delta = ports, .length = length};

  bpf_loop(LB_LENGTH_BITS, lb_crc32c_advance, &crc, 0);
  return crc.delta;
}

#endif /* BPF_LB_SCTP_H */
