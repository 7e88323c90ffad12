/* probe_spec - parses how one instance is probed, as the autoscaler says it
 * (msg_instance.probe):
 *
 *	tcp                     open a connection
 *	tcp://:9000             … to another port
 *	/healthz                send a GET; the status must be 2xx or 3xx
 *	http://:9000/healthz    … to another port; further lines are header fields, of which
 *	                        "x-activator-timeout: MILLISECONDS" is not sent: it bounds the
 *	                        wait for the response
 *	grpc                    make the health check of gRPC; the answer must be SERVING
 *	grpc:NAME               … of the service NAME
 *	grpc://:9000/NAME       … at another port; NAME may be left out, and "x-activator-timeout"
 *	                        may follow
 *	ready                   do not probe: wait until the platform calls it ready
 *
 * With a port, it is what the kubelet would ask: by HTTP/1.1, or gRPC, without TLS.  Without one,
 * the limits of the revision say what its instances speak.
 *
 * Any other text means tcp.  After an empty line comes a second probe, which is made once the first
 * has succeeded (a readinessProbe after a startupProbe).  Pure.  Thread: any. */
#ifndef ACTIVATOR_PROBE_SPEC_H
#define ACTIVATOR_PROBE_SPEC_H

#include "common/base.h"

struct probe_spec {
	int kind;	  /* PROBE_TCP, PROBE_HTTP, PROBE_GRPC, PROBE_READINESS */
	uint16_t port;	  /* 0: the port of the instance */
	const char *path; /* PROBE_HTTP; path_n bytes, borrowed from the text */
	size_t path_n;
	const char *service; /* PROBE_GRPC; service_n bytes, borrowed from the text */
	size_t service_n;
	const char *fields; /* lines "name: value", separated by '\n'; fields_n bytes */
	size_t fields_n;
	int64_t timeout_ns; /* for the response; 0: as the limits say */
	const char *next;   /* text of the second probe; NULL: there is none */
};

void probe_spec_parse(struct probe_spec *, const char *text);
/* The head of the GET, the caller's to free.  authority: for Host, unless a field gives it. */
NODISCARD char *probe_spec_head(const struct probe_spec *, const char *authority);

#endif
