#include "activator/activation.h"

#include "common/clk.h"

void
activation_begin(struct activation *a, bool has_instance)
{
	atomic_store_explicit(&a->signalled_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&a->acked_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&a->connected_ns, 0, memory_order_relaxed);
	if (!has_instance)
		atomic_store_explicit(&a->addressed_ns, 0, memory_order_relaxed);
}

void
activation_stamp(_Atomic int64_t *end_ns)
{
	int64_t not_yet = 0;

	atomic_compare_exchange_strong_explicit(end_ns, &not_yet, clk_now(), memory_order_relaxed,
						memory_order_relaxed);
}
