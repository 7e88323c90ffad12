#include "common/backoff.h"

void
backoff_init(struct backoff *b, int64_t first_ns, int64_t max_ns)
{
	CHECK(first_ns > 0 && max_ns >= first_ns);
	*b = (struct backoff){.first_ns = first_ns, .max_ns = max_ns};
}

int64_t
backoff_next(struct backoff *b, uint32_t random)
{
	int64_t step = b->first_ns;
	unsigned i;

	for (i = 0; i < b->tries && step < b->max_ns; i++)
		step *= 2;
	step = MIN(step, b->max_ns);
	b->tries++;
	return step / 2 + (int64_t)((double)(step - step / 2) * (random / (double)UINT32_MAX));
}

void
backoff_reset(struct backoff *b)
{
	b->tries = 0;
}
