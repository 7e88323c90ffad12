/* ref - counts the references to an object that several threads hold.  The last holder to drop
 * its reference frees the object.  Thread: any. */
#ifndef COMMON_REF_H
#define COMMON_REF_H

#include <stdatomic.h>

#include "common/base.h"

/* The object is new, and its maker has the one reference. */
static inline void
ref_init(_Atomic uint32_t *refs)
{
	atomic_init(refs, 1);
}

/* For one more holder, by one that has a reference itself. */
static inline void
ref_add(_Atomic uint32_t *refs)
{
	atomic_fetch_add_explicit(refs, 1, memory_order_relaxed);
}

/* Does one holder alone have a reference?  For that holder: no other thread can add one then. */
NODISCARD static inline bool
ref_is_single(const _Atomic uint32_t *refs)
{
	return atomic_load_explicit(refs, memory_order_acquire) == 1;
}

/* True: that was the last reference, and all that other holders wrote is visible. */
NODISCARD static inline bool
ref_drop(_Atomic uint32_t *refs)
{
	return atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

#endif
