#include "common/request_counts.h"

const char *
request_end_name(enum request_end end)
{
	static const char *const names[] = {
#define X(id, name) [REQUEST_##id] = name,
		REQUEST_ENDS(X)
#undef X
	};

	CHECK(end < REQUEST_ENDS_N);
	return names[end];
}

void
request_counts_join(struct request_counts *into, const struct request_counts *from)
{
	size_t i;

	into->requests += from->requests;
	for (i = 0; i < REQUEST_ENDS_N; i++)
		into->ends[i] += from->ends[i];
	into->bytes_in += from->bytes_in;
	into->bytes_out += from->bytes_out;
	into->cold_starts += from->cold_starts;
	into->cold_wait_s += from->cold_wait_s;
	into->cold_wait_max_s = MAX(into->cold_wait_max_s, from->cold_wait_max_s);
}

bool
request_counts_is_empty(const struct request_counts *c)
{
	uint64_t n = c->requests + c->bytes_in + c->bytes_out + c->cold_starts;
	size_t i;

	for (i = 0; i < REQUEST_ENDS_N; i++)
		n += c->ends[i];
	return n == 0;
}
