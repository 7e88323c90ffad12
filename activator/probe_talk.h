/* probe_talk - what a probe asks an instance that it has connected to, and what the answer says: a
 * GET by HTTP/1.1 or HTTP/2, or the health check of gRPC, plain or by TLS.
 * Thread: main. */
#ifndef ACTIVATOR_PROBE_TALK_H
#define ACTIVATOR_PROBE_TALK_H

#include "common/base.h"

struct addr;
struct loop;
struct probe_spec;
struct tls_trust;
struct worker_conf;

struct probe_net;  /* opaque: what the sockets of all probes share */
struct probe_talk; /* opaque: one question and its answer */

/* conf: for TLS; a reference is taken.  NULL: there is no TLS.  The net has the tail hook of the
 * loop. */
NODISCARD struct probe_net *probe_net_new(struct loop *, struct worker_conf *);
void probe_net_free(struct probe_net **); /* no talk is left */

struct probe_question {
	const struct probe_spec *spec; /* PROBE_HTTP or PROBE_GRPC */
	const struct addr *addr;
	const struct tls_trust *trust; /* NULL: plain */
	bool is_h2;		       /* of PROBE_HTTP */
};

/* Ask by fd, which is connected and the talk's from now on.  Nothing of the question is needed
 * after the call.  NULL with errno: fd cannot be watched, or TLS cannot be used; it is still the
 * caller's. on_over(): trouble is NULL if the answer is good, else it says what is wrong, and is
 * valid within the call.  Called once, never from inside a call.  It may free the talk. */
NODISCARD struct probe_talk *probe_talk_new(struct probe_net *, int fd,
					    const struct probe_question *,
					    void (*on_over)(const char *trouble, void *arg),
					    void *arg);
/* Closes the connection. */
void probe_talk_free(struct probe_talk **);

#endif
