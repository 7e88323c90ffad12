/* kn_story - a cluster as in kn_world.h for stories of one Service, "hello", told by all handlers
 * but that of DomainMappings. */
#ifndef TEST_UNIT_KN_STORY_H
#define TEST_UNIT_KN_STORY_H

#include "test/unit/kn_world.h"

void story_begin(struct kn_world *);
/* The Service as kn makes it; template: members of the template's metadata, each with a comma
 * behind it; traffic: the spec's traffic; NULL: what the schema fills in. */
void story_service(struct kn_world *, const char *image, const char *template, const char *traffic);

#define READY(w) kn_world_condition(w, KN_SERVICE, "hello", "Ready")

#endif
