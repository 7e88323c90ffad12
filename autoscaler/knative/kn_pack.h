/* kn_pack - keeps texts that are much like one another in little memory.  Of a text it keeps what
 * is new in it, and of the rest where that stands before: in a base, which is another text of the
 * same kind, or in the text itself (LZ77).  Objects of Kubernetes of one kind differ by names,
 * uids and times; of each there remains a quarter.
 * Pure.  Thread: any; a base belongs to one thread. */
#ifndef AUTOSCALER_KNATIVE_KN_PACK_H
#define AUTOSCALER_KNATIVE_KN_PACK_H

#include "common/base.h"

struct kn_pack_base; /* opaque */

/* A copy of the text, or of its beginning where it is long.  The caller has the one reference. */
NODISCARD struct kn_pack_base *kn_pack_base_new(const char *text, size_t n);
NODISCARD struct kn_pack_base *kn_pack_base_ref(struct kn_pack_base *);
void kn_pack_base_unref(struct kn_pack_base **);

/* The *packed_n bytes to which the text is packed; the caller's. */
NODISCARD uint8_t *kn_pack(const struct kn_pack_base *, const char *text, size_t n,
			   size_t *packed_n);
/* The text of n bytes that was packed with this base; the caller's, with a NUL behind it.  Bytes
 * that kn_pack() has not made with this base and n abort the program. */
NODISCARD char *kn_unpack(const struct kn_pack_base *, const uint8_t *packed, size_t packed_n,
			  size_t n);

#endif
