/* probe_spec - how one instance is probed, from the text that the autoscaler sends
 * (msg_instance.probe):
 *
 *	tcp                     a connection
 *	tcp://:9000             … to another port
 *	/healthz                a GET
 *	http://:9000/healthz    … at another port; further lines are header fields
 *	ready                   not at all: the platform's word is waited for
 *
 * Anything else is a connection.  Pure.  Thread: any. */
#ifndef ACTIVATOR_PROBE_SPEC_H
#define ACTIVATOR_PROBE_SPEC_H

#include "common/base.h"

struct probe_spec {
	int kind;	  /* PROBE_TCP, PROBE_HTTP, PROBE_READINESS */
	uint16_t port;	  /* 0: the instance's own */
	const char *path; /* PROBE_HTTP, with its length; borrowed from the text */
	size_t path_n;
	const char *fields; /* "name: value" lines, without an end of line at the end; "" */
};

void probe_spec_parse(struct probe_spec *, const char *text);
/* The head of the GET; authority: what Host says where no field does.  The caller's. */
NODISCARD char *probe_spec_head(const struct probe_spec *, const char *authority);

#endif
