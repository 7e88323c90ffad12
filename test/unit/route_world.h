/* route_world - services as messages tell of them, and requests that look for a route. */
#ifndef TEST_UNIT_ROUTE_WORLD_H
#define TEST_UNIT_ROUTE_WORLD_H

#include "test/unit/unit.h"

#include "activator/revision.h"
#include "activator/route.h"
#include "activator/route_query.h"

#define FIELDS 4
#define LIST(...)                                                                                  \
	{                                                                                          \
		.v = (char *[]){__VA_ARGS__, NULL}, .n = ARRAY_LEN(((char *[]){__VA_ARGS__}))      \
	}

/* --- services --- */
/* Of a group of tests: the revisions of `source`, which has all but those of the service "gone". */
int begin_revisions(void **state);
int end_revisions(void **state);
extern const struct route_source source;

/* A service with one revision "NAME/v1". */
struct msg_service service(char *name, struct str_list hosts, struct str_list paths);
void service_free(struct msg_service *s);
/* Traffic over revisions "NAME/v1", "NAME/v2", … */
struct msg_service split_service(char *name, struct str_list hosts,
				 const struct msg_traffic *traffic, size_t n);

/* --- requests --- */
struct fields {
	const char *name[FIELDS], *value[FIELDS];
};

extern bool is_local; /* what ask_with() asks comes in at a local listener */
struct route_match ask_with(const struct routes *r, const char *host, const char *path,
			    const char *method, struct fields *fields, const char *client,
			    uint64_t random);
/* Its name; "none": no service fits. */
const char *revision_of(const struct route_match *m);

#endif
