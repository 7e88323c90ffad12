/* metrics - the admin page /metrics, in the text format of Prometheus.  Thread: main. */
#ifndef ACTIVATOR_METRICS_H
#define ACTIVATOR_METRICS_H

#include "activator/upgrade.h"
#include "common/reload.h"

struct access_log;
struct bounds;
struct certificates;
struct prober;
struct strbuf;
struct worker;
struct registry;

/* What /metrics and /status show; gathered for each request, all borrowed. */
struct metrics_source {
	struct worker *const *workers;
	unsigned workers_n;
	const struct registry *registry;
	const struct bounds *bounds;
	const struct certificates *certificates; /* NULL: the conf has none */
	const struct prober *prober;
	int64_t started_ns; /* clk_now() when the activator started */
	struct reload_counts reloads;
	bool is_link_up, is_draining;
	struct upgrade_counts upgrades;
	const struct access_log *access_log;
	const struct access_log *spans; /* NULL: no collector */
	const struct audit *audit;
	bool is_by_service, has_idle; /* metrics_by, metrics_idle */
	size_t elders_n;	      /* older activators that still finish their requests */
};

void metrics_render(struct strbuf *, const struct metrics_source *);

#endif
