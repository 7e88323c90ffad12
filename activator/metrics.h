/* metrics - the activator's figures, as /metrics shows them.  Thread: main. */
#ifndef ACTIVATOR_METRICS_H
#define ACTIVATOR_METRICS_H

#include "activator/world.h"

struct strbuf;

struct metrics_source {
	struct worker *const *workers;
	unsigned workers_n;
	const struct world *world;
	const struct bounds *bounds;
	bool is_link_up;
};

void metrics_render(struct strbuf *, const struct metrics_source *);

#endif
