/* metric_groups - what samples of /metrics are about: each revision by itself, or all revisions of
 * a service together.  So the conf file bounds the size of a scrape: by one sample for a service
 * (metrics_by), and by leaving out what is idle (metrics_idle).
 * Thread: the owner. */
#ifndef COMMON_METRIC_GROUPS_H
#define COMMON_METRIC_GROUPS_H

#include "common/clk.h"
#include "common/hmap.h"
#include "common/metric.h"

#define METRIC_IDLE_AFTER (3600 * CLK_S) /* since something has happened to it */

struct metric_group {
	char *name; /* of the revision or service: the first label of each sample */
	void **v;   /* its revisions, borrowed */
	size_t n;
	bool is_idle; /* all of them are */
};

struct metric_groups {
	struct metric_group *v;
	size_t n, cap;
	bool is_by_service;
	struct hmap by_name;   /* by service: name → index + 1 */
	struct metric_def def; /* of metric_groups_head() */
	char labels[64];       /* of it */
};

void metric_groups_init(struct metric_groups *, bool is_by_service);
void metric_groups_fini(struct metric_groups *);
/* name: "service/revision"; is_idle: nothing has happened to it lately. */
void metric_groups_add(struct metric_groups *, const char *name, void *revision, bool is_idle);
/* Remove the groups that are idle. */
void metric_groups_drop_idle(struct metric_groups *);

/* The HELP and TYPE lines of a metric whose first label is `revision`.  Returns how its samples are
 * written: by service the first label is `service`.  Borrowed until the next call. */
const struct metric_def *metric_groups_head(struct metric_groups *, struct strbuf *,
					    const struct metric_def *);

#endif
