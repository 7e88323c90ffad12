#include "common/random.h"

#include <sys/random.h>

#include "common/clk.h"

uint64_t
random_u64(void)
{
	uint64_t n;

	if (getrandom(&n, sizeof n, GRND_NONBLOCK) != (ssize_t)sizeof n)
		n = (uint64_t)clk_now() * UINT64_C(0x9e3779b97f4a7c15); /* spread over all bits */
	return n;
}

uint32_t
random_u32(void)
{
	return (uint32_t)(random_u64() >> 32);
}
