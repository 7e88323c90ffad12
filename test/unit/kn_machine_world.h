/* kn_machine_world - for the tests of kn_machine: an API server, a clock and timers that the test
 * moves, in place of loop.c, kube_http.c and kube_recorder.c. */
#ifndef TEST_UNIT_KN_MACHINE_WORLD_H
#define TEST_UNIT_KN_MACHINE_WORLD_H

#include "test/unit/unit.h"

#include <jansson.h>

#include "autoscaler/knative/kn_cache.h"
#include "autoscaler/knative/kn_machine.h"
#include "autoscaler/kube/kube_http.h"
#include "common/clk.h"
#include "common/hmap.h"
#include "common/list.h"

#define LABEL "serving.knative.dev/revision"
#define SERVICES "/apis/serving.knative.dev/v1/namespaces/n/services"
#define DEPLOYMENTS "/apis/apps/v1/namespaces/n/deployments"

struct kube_request {
	struct list_node node;
	char *method, *path, *body;
	const struct kube_call_ops *ops;
	void *arg;
};

/* What happens to the next write. */
enum fault { NONE, LOST_BEFORE, LOST_AFTER, REFUSED, UNAVAILABLE, DELETE_REFUSED };

struct kn_machine_world {
	int64_t now, wall_step;
	struct list timers; /* struct test_timer */
	struct list requests;
	struct hmap objects; /* by path: json_t */
	int64_t version;
	unsigned uids;
	enum fault fault;
	size_t most; /* requests at a time */
	unsigned writes, reads, statuses, creates;
	unsigned handled, changes;
	char notes[200];
	bool is_routed;
	bool wants_again;
	const char *state; /* of which the handler is to make a status … */
	bool is_passing;   /* … on the way to another one */
	bool is_stubborn;  /* a PATCH changes nothing */
	struct kn_machine *machine;
	char failure[100]; /* that the handler was last shown; "": none */
};
extern struct kn_machine_world world;

struct test_timer {
	struct list_node node;
	struct loop_timer *t;
	int64_t at;
};

void machine_world_open(void);
void machine_world_close(void);

const char *text_of(const json_t *, const char *key);
json_t *meta_of(const json_t *object);
/* Give it the next resourceVersion. */
void stamp(json_t *object);
/* Put an object, which is taken over, at its path; add() gives it a uid, too. */
void store(const char *path, json_t *object);
json_t *add(const char *collection, json_t *object);
/* Answer a request, which is freed. */
void answer(struct kube_request *, int status, const json_t *object, const char *reason);
/* Fire what is due, and answer what is asked, until nothing is left. */
void settle(void);
/* Time passes, and all that is due in it happens in its order. */
void pass(int64_t ns);
/* The watch shows an object of the server as it is now; it has gone from the server, too. */
void watch(enum kn_kind, const char *path);
void watch_gone(enum kn_kind, const char *path);

#endif
