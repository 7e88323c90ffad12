/* random - random numbers of the kernel, for jitter and for ids that must differ between
 * processes.  Not for secrets: early at boot the kernel may have none yet, and then the
 * clock serves instead.  Thread: any.  Never blocks. */
#ifndef COMMON_RANDOM_H
#define COMMON_RANDOM_H

#include "common/base.h"

uint32_t random_u32(void);
uint64_t random_u64(void);

#endif
