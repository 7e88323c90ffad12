/* instance_check - tries again and again whether an instance works: a TCP connect, a GET of a path,
 * or the health check of gRPC.  It reports each success, and the failure that makes a number of
 * them in a row.
 * One check runs at a time; the next begins a period after the last one began, or at its end.
 * Thread: the autoscaler's only loop.  Callbacks run from the loop, never from inside a call,
 * and may free the check. */
#ifndef AUTOSCALER_PROCESS_INSTANCE_CHECK_H
#define AUTOSCALER_PROCESS_INSTANCE_CHECK_H

#include "common/base.h"

struct instance_check; /* opaque */
struct loop;

struct instance_check_spec {
	uint16_t port; /* of 127.0.0.1 */
	/* A path, "grpc", or "grpc:NAME"; NULL: a connect suffices; copied. */
	const char *question;
	int64_t first_ns; /* until the first check begins */
	int64_t period_ns, timeout_ns;
	uint32_t threshold;
};

struct instance_check_ops {
	void (*on_success)(void *arg);
	/* `threshold` checks in a row have failed; why: the last one, in words.  Called once. */
	void (*on_failed)(const char *why, void *arg);
	/* May be NULL.  The check was not answered in time: does that count? */
	bool (*does_timeout_count)(void *arg);
};

/* ops and arg are borrowed until instance_check_free(). */
NODISCARD struct instance_check *instance_check_new(struct loop *,
						    const struct instance_check_spec *,
						    const struct instance_check_ops *, void *arg);
void instance_check_free(struct instance_check **);

#endif
