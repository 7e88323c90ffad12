/* The packed form is a row of steps.  A step is a byte whose upper half says how many new bytes
 * follow, and whose lower half how many bytes more than COPY_LEAST are then copied; 15 means that
 * further bytes are to be added, up to one that is not 255.  Behind the new bytes stand two bytes
 * with the distance from which to copy; they are missing in the last step. */
#include "autoscaler/knative/kn_pack.h"

#include <stdlib.h>
#include <string.h>

#define BASE_MOST ((size_t)16 << 10)
#define COPY_LEAST 4u
#define DISTANCE_MOST 65535u
#define HALF_MOST 15u
#define BUCKETS_LOG 12
#define BUCKET_N 2 /* places that are remembered of texts with one hash */

struct kn_pack_base {
	unsigned refs;
	size_t n;
	char text[];
};

struct kn_pack_base *
kn_pack_base_new(const char *text, size_t n)
{
	size_t most = MIN(n, BASE_MOST);
	struct kn_pack_base *base = xmalloc(sizeof *base + most);

	base->refs = 1;
	base->n = most;
	memcpy(base->text, text, most);
	return base;
}

struct kn_pack_base *
kn_pack_base_ref(struct kn_pack_base *base)
{
	base->refs++;
	return base;
}

void
kn_pack_base_unref(struct kn_pack_base **bp)
{
	struct kn_pack_base *base = *bp;

	*bp = NULL;
	if (base != NULL && --base->refs == 0)
		free(base);
}

/* --- packing --- */

struct packer {
	const uint8_t *all; /* the base, and the text behind it */
	size_t end;
	uint8_t *out;
	size_t out_n;
	uint32_t buckets[1u << BUCKETS_LOG][BUCKET_N]; /* places, the newest first; 0: none */
};

static uint32_t *
bucket_of(struct packer *p, size_t at)
{
	uint32_t word;

	memcpy(&word, p->all + at, sizeof word);
	return p->buckets[(word * UINT32_C(2654435761)) >> (32 - BUCKETS_LOG)];
}

static void
remember(struct packer *p, size_t at)
{
	uint32_t *bucket;

	if (at + COPY_LEAST > p->end)
		return;
	bucket = bucket_of(p, at);
	memmove(bucket + 1, bucket, (BUCKET_N - 1) * sizeof *bucket);
	bucket[0] = (uint32_t)at + 1;
}

static size_t
same_n(const struct packer *p, size_t from, size_t at)
{
	size_t n = 0;

	while (at + n < p->end && p->all[from + n] == p->all[at + n])
		n++;
	return n;
}

/* The longest text before `at` that goes on as it does there; 0: none that is worth it. */
static size_t
find_copy(struct packer *p, size_t at, size_t *distance)
{
	const uint32_t *bucket = bucket_of(p, at);
	size_t best = 0, i;

	for (i = 0; i < BUCKET_N && bucket[i] != 0; i++) {
		size_t from = bucket[i] - 1, n = same_n(p, from, at);

		if (n <= best || n < COPY_LEAST || at - from > DISTANCE_MOST)
			continue;
		best = n;
		*distance = at - from;
	}
	return best;
}

static void
put_more(struct packer *p, size_t n)
{
	if (n < HALF_MOST)
		return;
	for (n -= HALF_MOST; n >= 255; n -= 255)
		p->out[p->out_n++] = 255;
	p->out[p->out_n++] = (uint8_t)n;
}

/* copy_n 0: the last one. */
static void
put_step(struct packer *p, size_t from, size_t new_n, size_t copy_n, size_t distance)
{
	size_t more = copy_n == 0 ? 0 : copy_n - COPY_LEAST;

	p->out[p->out_n++] = (uint8_t)(MIN(new_n, HALF_MOST) << 4 | MIN(more, HALF_MOST));
	put_more(p, new_n);
	memcpy(p->out + p->out_n, p->all + from, new_n);
	p->out_n += new_n;
	if (copy_n == 0)
		return;
	p->out[p->out_n++] = (uint8_t)(distance & 0xff);
	p->out[p->out_n++] = (uint8_t)(distance >> 8);
	put_more(p, more);
}

static void
pack_from(struct packer *p, size_t at)
{
	size_t new_from = at, i;

	while (at + COPY_LEAST <= p->end) {
		size_t distance = 0, n = find_copy(p, at, &distance);

		if (n > 0)
			put_step(p, new_from, at - new_from, n, distance);
		for (i = 0; i < MAX(n, 1); i++)
			remember(p, at + i);
		at += MAX(n, 1);
		if (n > 0)
			new_from = at;
	}
	put_step(p, new_from, p->end - new_from, 0, 0);
}

uint8_t *
kn_pack(const struct kn_pack_base *base, const char *text, size_t n, size_t *packed_n)
{
	struct packer *p = xcalloc(1, sizeof *p);
	uint8_t *all = xmalloc(base->n + n + 1), *out;
	size_t i;

	CHECK(n < UINT32_MAX - BASE_MOST);
	memcpy(all, base->text, base->n);
	memcpy(all + base->n, text, n);
	p->all = all;
	p->end = base->n + n;
	/* A step adds at most a byte in 255 and the three of which a copy of four is made. */
	p->out = xmalloc(n + n / 255 + 16);
	for (i = 0; i < base->n; i++)
		remember(p, i);
	pack_from(p, base->n);
	*packed_n = p->out_n;
	out = p->out;
	free(all);
	free(p);
	return out;
}

/* --- unpacking --- */

struct unpacker {
	const uint8_t *in, *in_end;
	const struct kn_pack_base *base;
	char *out;
	size_t out_n, n;
};

static uint8_t
take_byte(struct unpacker *u)
{
	CHECK(u->in < u->in_end);
	return *u->in++;
}

static size_t
take_n(struct unpacker *u, size_t half)
{
	uint8_t more;

	if (half < HALF_MOST)
		return half;
	do {
		more = take_byte(u);
		half += more;
	} while (more == 255);
	return half;
}

static void
take_new(struct unpacker *u, size_t n)
{
	CHECK((size_t)(u->in_end - u->in) >= n && u->n - u->out_n >= n);
	memcpy(u->out + u->out_n, u->in, n);
	u->in += n;
	u->out_n += n;
}

/* Byte by byte: what is copied may be part of the copy. */
static void
copy(struct unpacker *u, size_t distance, size_t n)
{
	CHECK(u->n - u->out_n >= n && distance > 0 && distance <= u->out_n + u->base->n);
	for (; n > 0; n--, u->out_n++)
		u->out[u->out_n] = distance > u->out_n
					   ? u->base->text[u->base->n + u->out_n - distance]
					   : u->out[u->out_n - distance];
}

char *
kn_unpack(const struct kn_pack_base *base, const uint8_t *packed, size_t packed_n, size_t n)
{
	struct unpacker u = {.in = packed,
			     .in_end = packed + packed_n,
			     .base = base,
			     .out = xmalloc(n + 1),
			     .n = n};

	for (;;) {
		uint8_t step = take_byte(&u);
		size_t distance;

		take_new(&u, take_n(&u, step >> 4));
		if (u.in == u.in_end)
			break;
		distance = take_byte(&u);
		distance |= (size_t)take_byte(&u) << 8;
		copy(&u, distance, take_n(&u, step & 0xf) + COPY_LEAST);
	}
	CHECK(u.out_n == n);
	u.out[n] = '\0';
	return u.out;
}
