#include "activator/access/access_ring.h"

#include <stdlib.h>

#include "common/metric.h"

void
access_ring_init(struct access_ring *r, size_t size)
{
	*r = (struct access_ring){.data = xmalloc(size), .size = size};
}

void
access_ring_fini(struct access_ring *r)
{
	free(r->data);
	r->data = NULL;
}

/* --- the worker --- */

char *
access_ring_reserve(struct access_ring *r, size_t n)
{
	size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	size_t at = head % r->size;

	if (n > r->size)
		return NULL;
	r->reserved = at + n > r->size ? head + (r->size - at) : head;
	if (r->reserved + n - r->seen_tail > r->size) {
		r->seen_tail = atomic_load_explicit(&r->tail, memory_order_acquire);
		if (r->reserved + n - r->seen_tail > r->size)
			return NULL;
	}
	return r->data + r->reserved % r->size;
}

void
access_ring_commit(struct access_ring *r, size_t n)
{
	if (r->reserved % r->size == 0)
		r->end = atomic_load_explicit(&r->head, memory_order_relaxed);
	r->is_dirty = true;
	atomic_store_explicit(&r->head, r->reserved + n, memory_order_release);
	metric_add(&r->lines, 1);
}

/* --- the thread --- */

/* What waits: [tail, first_end), and behind it [second, head) if head is a lap ahead. */
struct waiting {
	size_t tail, first_end, second, head;
};

static struct waiting
look(const struct access_ring *r)
{
	struct waiting w = {
		.tail = atomic_load_explicit(&r->tail, memory_order_relaxed),
		.head = atomic_load_explicit(&r->head, memory_order_acquire),
	};
	size_t lap_end = w.tail - w.tail % r->size + r->size;

	/* The worker sets end again only once the tail has come to the lap of head. */
	w.first_end = w.head > lap_end ? r->end : w.head;
	w.second = w.head > lap_end ? lap_end : w.head;
	return w;
}

int
access_ring_peek(struct access_ring *r, struct iovec out[2])
{
	struct waiting w = look(r);
	int n = 0;

	if (w.first_end > w.tail)
		out[n++] = (struct iovec){r->data + w.tail % r->size, w.first_end - w.tail};
	if (w.head > w.second)
		out[n++] = (struct iovec){r->data + w.second % r->size, w.head - w.second};
	return n;
}

void
access_ring_drop(struct access_ring *r, size_t n)
{
	struct waiting w = look(r);
	size_t first_n = w.first_end - w.tail, to = w.tail + n;

	if (n >= first_n && w.second < w.head)
		to = w.second + (n - first_n);
	CHECK(to <= w.head);
	atomic_store_explicit(&r->tail, to, memory_order_release);
}
