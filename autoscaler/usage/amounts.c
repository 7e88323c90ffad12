#include "autoscaler/usage/amounts.h"

#include <math.h>

#define SUM(member) {#member, offsetof(struct amounts, member), false},
#define MOST(member) {#member, offsetof(struct amounts, member), true},
#define X(id, name) {name, offsetof(struct amounts, ends[REQUEST_##id]), false},
static const struct {
	const char *name;
	size_t offset;
	bool is_most; /* of all that are added, instead of their sum */
} table[] = {
	/* clang-format off */
	SUM(observed_s)
	SUM(instance_s)
	SUM(requests)
	SUM(completed)
	SUM(in_flight_s)
	SUM(parked_s)
	SUM(wakes)
	SUM(starts)
	SUM(cpu_s)
	SUM(memory_byte_s)
	SUM(measured_s)
	SUM(always_one_s)
	MOST(peak)
	SUM(bytes_in)
	SUM(bytes_out)
	SUM(cold_starts)
	SUM(cold_wait_s)
	MOST(cold_wait_max_s)
	REQUEST_ENDS(X)
	/* clang-format on */
};
#undef X
#undef MOST
#undef SUM

_Static_assert(ARRAY_LEN(table) == AMOUNTS_N, "AMOUNTS_N");
_Static_assert(sizeof(struct amounts) == AMOUNTS_N * sizeof(double), "a name for each member");

const char *
amounts_name(size_t i)
{
	CHECK(i < AMOUNTS_N);
	return table[i].name;
}

double *
amounts_at(struct amounts *a, size_t i)
{
	CHECK(i < AMOUNTS_N);
	return (double *)(void *)((char *)a + table[i].offset);
}

double
amounts_get(const struct amounts *a, size_t i)
{
	CHECK(i < AMOUNTS_N);
	return *(const double *)(const void *)((const char *)a + table[i].offset);
}

bool
amounts_is_end(size_t i)
{
	return i >= AMOUNTS_N - REQUEST_ENDS_N;
}

bool
amounts_is_measured(size_t i)
{
	CHECK(i < AMOUNTS_N);
	return table[i].offset == offsetof(struct amounts, cpu_s) ||
	       table[i].offset == offsetof(struct amounts, memory_byte_s);
}

double
amounts_round(double value)
{
	return value < 1e9 ? round(value * 1e6) / 1e6 : round(value);
}

void
amounts_add(struct amounts *into, const struct amounts *from)
{
	size_t i;

	for (i = 0; i < AMOUNTS_N; i++) {
		double *to = amounts_at(into, i), add = amounts_get(from, i);

		*to = table[i].is_most ? MAX(*to, add) : *to + add;
	}
}
