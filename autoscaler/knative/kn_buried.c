#include "autoscaler/knative/kn_buried.h"

#include <stdlib.h>

#include "autoscaler/knative/kn_cache.h"
#include "common/clk.h"

#define KEPT_LEAST (60 * CLK_S) /* longer than any request takes */

static void
forget(struct hmap *uids)
{
	size_t at = 0;
	void *rv;

	while (hmap_next(uids, &at, NULL, &rv))
		free(rv);
	hmap_fini(uids);
}

void
kn_buried_init(struct kn_buried *b)
{
	hmap_init(&b->now);
	hmap_init(&b->before);
	b->since_ns = 0;
}

void
kn_buried_fini(struct kn_buried *b)
{
	forget(&b->before);
	forget(&b->now);
}

void
kn_buried_add(struct kn_buried *b, const struct kn_object *o)
{
	int64_t now_ns = clk_now();

	if (now_ns - b->since_ns > KEPT_LEAST) {
		forget(&b->before);
		b->before = b->now;
		hmap_init(&b->now);
		b->since_ns = now_ns;
	}
	if (o->uid[0] != '\0')
		free(hmap_put(&b->now, o->uid, xstrdup(o->rv)));
}

bool
kn_buried_has(const struct kn_buried *b, const char *uid, const char *rv)
{
	const char *last = hmap_find(&b->now, uid);

	if (last == NULL)
		last = hmap_find(&b->before, uid);
	return last != NULL && !kn_rv_is_newer(rv, last);
}
