/* instance_reports - what the autoscaler is told of instances (`instance`): whether they answer,
 * whether they have served a request, and how many requests may still be sent there.
 * Nothing is told while the link is down; a new link is told all that it may not know.
 * Thread: main. */
#ifndef ACTIVATOR_INSTANCE_REPORTS_H
#define ACTIVATOR_INSTANCE_REPORTS_H

#include "common/msg.h"

struct instance;
struct registry;
struct revision;
struct worker;

struct instance_reports {
	struct registry *registry;
	struct worker *const *workers;
	unsigned workers_n;
	void (*send)(const struct msg *, void *arg);
	void *arg;
	uint64_t link; /* number of the link that is up; 0: none is */
};

/* It has learned whether the instance answers. */
void instance_reports_health(const struct instance_reports *, struct instance *,
			     enum instance_health);
/* The instance has served a request: what it has been sent and has served counts, whether it is
 * closed or not. */
void instance_reports_work(const struct instance_reports *, struct instance *);
/* Requests were sent there: close idle connections to it, and report it, once it nears
 * max_requests. */
void instance_reports_spent(const struct instance_reports *, struct instance *);
/* A new autoscaler has described the services: it does not know which instances answer. */
void instance_reports_all(const struct instance_reports *);
/* The autoscaler lists the instances of rev. */
void instance_reports_listed(const struct instance_reports *, struct revision *rev);

#endif
