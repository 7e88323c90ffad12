/* knative - the request fields by which the parts of Knative speak with each other.  Its
 * queue-proxy and its activator answer probes themselves, and keep their own fields from programs;
 * with the key knative_headers this activator does the same.  Names are those of
 * knative.dev/networking (pkg/http/header) and knative.dev/serving. Pure.  Thread: any. */
#ifndef ACTIVATOR_HTTP_KNATIVE_H
#define ACTIVATOR_HTTP_KNATIVE_H

#include "activator/http/h1.h"

enum knative_probe {
	KNATIVE_NO_PROBE,
	KNATIVE_PROBE_ROUTE,	 /* "probe": is the host routed?  The answer has K-Network-Hash */
	KNATIVE_PROBE_ACTIVATOR, /* "activator": is an activator there? */
	KNATIVE_PROBE_QUEUE,	 /* "queue": does an instance answer? */
	KNATIVE_PROBE_KUBELET,	 /* of a kubelet, or K-Kubelet-Probe */
	KNATIVE_PROBE_UNKNOWN	 /* another value of K-Network-Probe */
};

/* Is the request a probe?  One of gRPC that a kubelet makes is none: its answer is the instance's.
 * *value, *n: of K-Network-Hash, or the unknown value; NULL: none. */
enum knative_probe knative_probe_of(const struct h1_head *, bool is_grpc, const char **value,
				    size_t *n);

/* Does a field of that name come from a part of Knative, and never from a client?  With '_' for '-'
 * it does, too: a CGI program cannot tell them apart. */
bool knative_is_inner(const char *name, size_t n);
bool knative_is_tag(const char *name, size_t n);

#define KNATIVE_TAG_FIELD "Knative-Serving-Tag"
#define KNATIVE_DEFAULT_ROUTE_FIELD "Knative-Serving-Default-Route"
#define KNATIVE_HASH_FIELD "K-Network-Hash"

#endif
