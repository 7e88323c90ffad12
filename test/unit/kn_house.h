/* kn_house - a cluster as in kn_world.h with all handlers, and the services for the activators that
 * come of it. */
#ifndef TEST_UNIT_KN_HOUSE_H
#define TEST_UNIT_KN_HOUSE_H

#include "test/unit/kn_world.h"

#include "autoscaler/knative/kn_output.h"
#include "common/hmap.h"
#include "common/settings.h"

/* A cluster, and activators that use what kn_output says as soon as they are let. */
struct house {
	struct kn_world w;
	struct kn_output *output;
	struct kn_output_input in;
	uint64_t serial, routed;
	const struct service_conf *services;
	size_t n;
	struct hmap claimed; /* claim to owner */
	const char *taken;   /* a claim that another source has; NULL */
	enum rollout_verdict verdict;
	const char *failing; /* a revision that must end, whatever the verdict; NULL */
	char *asked;	     /* the last question about it: "BOUNDS of REVISION beside REVISION" */
};

void house_open(struct house *h);
void house_close(struct house *h);
/* What the driver does when objects have changed.  False: the services are as they were. */
bool house_describe(struct house *h);
/* Run until nothing changes, with activators that use each description at once. */
void house_run(struct house *h);
/* Time passes; then house_run(). */
void house_wait(struct house *h, int64_t seconds);
/* "hosts=… local=… | REVISION PERCENT TAG hosts=… | … :" and its revisions; for free(). */
char *house_service(const struct house *h, const char *name);
const struct revision_conf *house_revision(const struct house *h, const char *full_name);
/* The data of config-domain, of config-network. */
void house_use_domain(struct house *h, const char *text);
void house_use_network(struct house *h, const char *text);
/* The Service "hello".  metadata: members beside the name, each with a comma before it. */
void house_apply(struct house *h, const char *image, const char *metadata, const char *traffic);
/* A text in the status of its Route. */
const char *house_route(const struct house *h, const char *a, const char *b);

#define assert_service(h, name, text)                                                              \
	do {                                                                                       \
		char *is_ = house_service(h, name);                                                \
		assert_string_equal(is_, text);                                                    \
		free(is_);                                                                         \
	} while (0)

#define LOCAL(name) name ".default," name ".default.svc," name ".default.svc.cluster.local"
#define LATEST "[{\"latestRevision\":true,\"percent\":100}]"
#define CONDITION(h, kind, name, type) kn_world_condition(&(h)->w, kind, name, type)
#define ROUTE(h, type) CONDITION(h, KN_ROUTE, "hello", type)

#endif
