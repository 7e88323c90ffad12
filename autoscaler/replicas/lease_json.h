/* lease_json - a Lease of coordination.k8s.io/v1 as JSON: what the API server shows of it, and the
 * bodies that write it.  Pure.  Thread: any. */
#ifndef AUTOSCALER_REPLICAS_LEASE_JSON_H
#define AUTOSCALER_REPLICAS_LEASE_JSON_H

#include "autoscaler/replicas/lease.h"

struct json_t;

/* Strings are borrowed from the document.  What is missing or of another type reads as empty. */
void lease_json_read(const struct json_t *, struct lease_object *out);

/* The body of a LEASE_CREATE or LEASE_UPDATE (a merge patch, which leaves labels and annotations
 * alone); the caller's.  name: of the Lease.  duration_ns: the writer's.  wall_ns: clk_wall(); it
 * is written for people, and nothing is decided by it. */
NODISCARD char *lease_json_body(const struct lease_request *, const char *name, int64_t duration_ns,
				int64_t wall_ns);

#endif
