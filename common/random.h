/* random - numbers from the kernel for jitter and for ids that must differ between
 * processes.  Not for secrets: early at boot, where the kernel has none yet, the clock
 * stands in, rather than a wait.  Thread: any. */
#ifndef COMMON_RANDOM_H
#define COMMON_RANDOM_H

#include "common/base.h"

uint32_t random_u32(void);
uint64_t random_u64(void);

#endif
