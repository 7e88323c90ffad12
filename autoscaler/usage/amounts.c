#include "autoscaler/usage/amounts.h"

#include <math.h>

#define X(name, member) {name, offsetof(struct amounts, member)},
static const struct {
	const char *name;
	size_t offset;
} table[] = {
	/* clang-format off */
	X("observed_s", observed_s)
	X("instance_s", instance_s)
	X("requests", requests)
	X("completed", completed)
	X("in_flight_s", in_flight_s)
	X("parked_s", parked_s)
	X("wakes", wakes)
	X("starts", starts)
	X("cpu_s", cpu_s)
	X("memory_byte_s", memory_byte_s)
	X("measured_s", measured_s)
	X("always_one_s", always_one_s)
	X("peak", peak)
	/* clang-format on */
};
#undef X

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

double
amounts_round(double value)
{
	return value < 1e9 ? round(value * 1e6) / 1e6 : round(value);
}

void
amounts_add(struct amounts *into, const struct amounts *from)
{
	double *to = (double *)into, peak = MAX(into->peak, from->peak);
	const double *add = (const double *)from;
	size_t i;

	for (i = 0; i < AMOUNTS_N; i++) /* all members are doubles, see above */
		to[i] += add[i];
	into->peak = peak;
}
